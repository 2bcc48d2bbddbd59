"""`everline sessions …`: finds and controls sessions through the HTTP API."""

import json
from typing import Annotated, cast

import typer

from cli.api_client import Json, api_path, call_api, stream_events
from cli.options import AsJson, OrgOption
from cli.output import print_json, print_table
from domain.json_lines import on_one_line

sessions_app = typer.Typer(
    help="Find and control sessions.", no_args_is_help=True, add_completion=False
)
SessionId = Annotated[str, typer.Argument(help="The session's id, as its start returned it.")]

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
        bool, typer.Option("--stuck", help="Only open sessions that are stuck.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the previous page.")] = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """List sessions: open ones first, then closed ones, each newest first."""
    query = {
        "limit": limit,
        "state": state,
        "outcome": outcome,
        "agent": agent,
        "started_after": started_after,
        "started_before": started_before,
        "stuck": "true" if stuck else None,
        "cursor": cursor,
    }
    answer = call_api(context.obj, "GET", "/v1/sessions", query=query, org=org)
    if as_json:
        return print_json(answer)
    rows = cast("list[Json]", answer["sessions"])
    more = f"everline sessions list --cursor {answer['next']}" if answer["next"] else ""
    print_table(_COLUMNS, [row | {"note": "STUCK" if row["stuck"] else ""} for row in rows], more)


@sessions_app.command("extend")
def extend(
    context: typer.Context,
    session_id: SessionId,
    seconds: Annotated[float, typer.Argument(help="How much longer the call may last.")],
) -> None:
    """Extend the maximum duration of a call in progress."""
    _call(context, "POST", session_id, "extend", body={"seconds": seconds})


@sessions_app.command("redispatch")
def redispatch(context: typer.Context, session_id: SessionId) -> None:
    """Replace the agent of a live call."""
    _call(context, "POST", session_id, "redispatch")


@sessions_app.command("finalise")
def finalise(context: typer.Context, session_id: SessionId) -> None:
    """End a session without waiting any longer for the agent's report."""
    _call(context, "POST", session_id, "finalise")


@sessions_app.command("show")
def show(context: typer.Context, session_id: SessionId) -> None:
    """Show a session as JSON."""
    _call(context, "GET", session_id)


@sessions_app.command("end")
def end(context: typer.Context, session_id: SessionId) -> None:
    """Request the end of a session."""
    _call(context, "POST", session_id, "end")


@sessions_app.command("turns")
def turns(context: typer.Context, session_id: SessionId) -> None:
    """Show the turns of a session so far, as JSON."""
    _call(context, "GET", session_id, "turns")


@sessions_app.command("watch")
def watch(context: typer.Context, session_id: SessionId) -> None:
    """Print state changes and turns as they happen, one JSON object per line, until the end."""
    path = api_path("v1", "sessions", session_id, "events")
    for name, data in stream_events(context.obj, path):
        typer.echo(on_one_line(json.dumps({"event": name, **data}, ensure_ascii=False)))


def _call(
    context: typer.Context, method: str, session_id: str, *path: str, body: Json | None = None
) -> None:
    path_in_api = api_path("v1", "sessions", session_id, *path)
    print_json(call_api(context.obj, method, path_in_api, body=body))
