"""`everline sessions …`: looking at sessions and ending them, through the HTTP API."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from stack.api_client import call_api, stream_events
from stack.home import Home

sessions_app = typer.Typer(
    help="Look at sessions and end them.", no_args_is_help=True, add_completion=False
)

SessionId = Annotated[str, typer.Argument(help="The session's id, as its start returned it.")]


@sessions_app.command("show")
def show(context: typer.Context, session_id: SessionId) -> None:
    """Show a session as the API knows it, as JSON."""
    _print(call_api(_home(context), "GET", f"/v1/sessions/{quote(session_id, safe='')}"))


@sessions_app.command("end")
def end(context: typer.Context, session_id: SessionId) -> None:
    """Ask a session to end."""
    _print(call_api(_home(context), "POST", f"/v1/sessions/{quote(session_id, safe='')}/end"))


@sessions_app.command("turns")
def turns(context: typer.Context, session_id: SessionId) -> None:
    """Show what has been said in a session so far, as JSON."""
    _print(call_api(_home(context), "GET", f"/v1/sessions/{quote(session_id, safe='')}/turns"))


@sessions_app.command("watch")
def watch(context: typer.Context, session_id: SessionId) -> None:
    """Show state changes and turns as they happen, one JSON object a line, until the end."""
    path = f"/v1/sessions/{quote(session_id, safe='')}/events"
    for name, data in stream_events(_home(context), path):
        typer.echo(json.dumps({"event": name, **data}, ensure_ascii=False))


def _home(context: typer.Context) -> Home:
    assert isinstance(context.obj, Home)
    return context.obj


def _print(answer: dict[str, object]) -> None:
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
