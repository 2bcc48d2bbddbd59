"""`everline sessions …`: finding sessions and steering them, through the HTTP API."""

import json
from typing import Annotated, cast
from urllib.parse import quote

import typer
from rich.console import Console

from cli.api_client import call_api, stream_events
from domain.json_lines import on_one_line
from stack.layout.home import Home

sessions_app = typer.Typer(
    help="Find sessions and steer them.", no_args_is_help=True, add_completion=False
)

SessionId = Annotated[str, typer.Argument(help="The session's id, as its start returned it.")]


OrgOption = Annotated[str | None, typer.Option("--org", help="Act for this org (admins only).")]

_COLUMNS = ("session_id", "state", "waiting_for", "outcome", "agent", "started_at")


@sessions_app.command("list")
def list_sessions(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Such as live, joining, closed.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Such as completed, agent_lost.")] = None,
    agent: Annotated[str | None, typer.Option(help="The saved agent's id.")] = None,
    started_after: Annotated[
        str | None, typer.Option(help="Such as 2030-01-31T08:00:00Z; inclusive.")
    ] = None,
    started_before: Annotated[str | None, typer.Option(help="Exclusive.")] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only open ones that wait for a machine for too long.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    org: OrgOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List sessions: first the open ones, then those that are over, each the newest first."""
    wanted = {
        "state": state,
        "outcome": outcome,
        "agent": agent,
        "started_after": started_after,
        "started_before": started_before,
        "stuck": "true" if stuck else None,
        "cursor": cursor,
    }
    query = {"limit": limit} | {name: value for name, value in wanted.items() if value}
    answer = call_api(_home(context), "GET", "/v1/sessions", query=query, org=org)
    if as_json:
        _print(answer)
        return
    _show_lines(answer)


def _show_lines(answer: dict[str, object]) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    lines = cast("list[dict[str, object]]", answer["sessions"])
    rows = [_COLUMNS, *(tuple(str(line[name] or "-") for name in _COLUMNS) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for index, row in enumerate(rows):
        stuck = index > 0 and lines[index - 1]["stuck"]
        text = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        console.print(text.rstrip() + ("  STUCK" if stuck else ""))
    if answer["next"]:
        console.print(f"more: everline sessions list --cursor {answer['next']}")


@sessions_app.command("extend")
def extend(
    context: typer.Context,
    session_id: SessionId,
    seconds: Annotated[float, typer.Argument(help="How much longer the call may last.")],
) -> None:
    """Move the maximum duration of a call in progress."""
    _operate(context, session_id, "extend", {"seconds": seconds})


@sessions_app.command("redispatch")
def redispatch(context: typer.Context, session_id: SessionId) -> None:
    """Replace the agent of a live call by a new one."""
    _operate(context, session_id, "redispatch", None)


@sessions_app.command("finalise")
def finalise(context: typer.Context, session_id: SessionId) -> None:
    """End a session without waiting for the agent's report any longer."""
    _operate(context, session_id, "finalise", None)


def _operate(
    context: typer.Context, session_id: str, verb: str, body: dict[str, object] | None
) -> None:
    path = f"/v1/sessions/{quote(session_id, safe='')}/{verb}"
    _print(call_api(_home(context), "POST", path, body=body))


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
        typer.echo(on_one_line(json.dumps({"event": name, **data}, ensure_ascii=False)))


def _home(context: typer.Context) -> Home:
    assert isinstance(context.obj, Home)
    return context.obj


def _print(answer: dict[str, object]) -> None:
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
