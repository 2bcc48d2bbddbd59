"""`everline sessions …`: finds and controls sessions through the HTTP API."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import typer

from cli.api_client import Json, call_api, stream_events
from cli.config_file import read_config
from cli.options import AsJson, OrgOption
from cli.output import print_json, print_list
from domain.json_lines import on_one_line
from stack.errors import StackError
from stack.waits import agent_to_join

sessions_app = typer.Typer(help="Find and control sessions.", no_args_is_help=True)
SessionId = Annotated[str, typer.Argument(help="The session's id, as its start returned it.")]

MetadataOption = Annotated[
    list[str],
    typer.Option("--metadata", help="KEY=VALUE of your own, such as order=42; may be repeated."),
]

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
    metadata: MetadataOption = [],  # noqa: B006  # typer never changes it
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
        **{f"metadata[{name}]": value for name, value in _entries(metadata).items()},
    }
    answer = call_api(context.obj, "GET", "v1", "sessions", query=query, org=org)
    found = cast("list[Json]", answer["sessions"])
    rows = [session | {"note": "STUCK" if session["stuck"] else ""} for session in found]
    print_list(answer, _COLUMNS, rows, "sessions list", as_json=as_json)


@sessions_app.command("start")
def start(
    context: typer.Context,
    agent: Annotated[str | None, typer.Option(help="The saved agent's id.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the agent is and does.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file with more of the configuration, `-` for standard input."),
    ] = None,
    session_id: Annotated[
        str | None, typer.Option("--id", help="The session's id; default: a new one.")
    ] = None,
    room: Annotated[str | None, typer.Option(help="The room's name.")] = None,
    identity: Annotated[str | None, typer.Option(help="The caller's identity.")] = None,
    model: Annotated[str | None, typer.Option(help="Such as openai/gpt-4.1-mini.")] = None,
    voice: Annotated[str | None, typer.Option(help="Such as alloy.")] = None,
    wait: Annotated[
        str, typer.Option(help="accepted, dispatched, or joined: the agent is in the room.")
    ] = "joined",
    metadata: MetadataOption = [],  # noqa: B006  # typer never changes it
    org: OrgOption = None,
) -> None:
    """Start a session; prints the URL and token for the caller as JSON."""
    given = read_config(config) if config else {}
    given |= {"prompt": prompt} if prompt is not None else {}
    fields = {
        "agent_id": agent,
        "agent_config": given or None,
        "session_id": session_id,
        "room_name": room,
        "user_identity": identity,
        "model": model,
        "voice": voice,
        "metadata": _entries(metadata) or None,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    answer = call_api(
        context.obj,
        *("POST", "v1", "sessions", "start"),
        body=body,
        query={"wait": wait},
        org=org,
        waits_for=partial(agent_to_join, context.obj.address()[0]),
    )
    print_json(answer)


@sessions_app.command("extend")
def extend(
    context: typer.Context,
    session_id: SessionId,
    seconds: Annotated[float, typer.Argument(help="How much longer the call may last.")],
) -> None:
    """Extend the maximum duration of a call in progress."""
    _call(context, "POST", session_id, "extend", body={"seconds": seconds})


def _add_command(name: str, method: str, *path: str, help: str) -> None:
    """Add a command that calls a route of one session and prints the answer as JSON."""

    @sessions_app.command(name, help=help)
    def _(context: typer.Context, session_id: SessionId) -> None:
        _call(context, method, session_id, *path)


_add_command("redispatch", "POST", "redispatch", help="Replace the agent of a live call.")
_add_command(
    "finalise", "POST", "finalise", help="End a session without waiting for the agent's report."
)
_add_command("show", "GET", help="Show a session as JSON.")
_add_command("end", "POST", "end", help="Request the end of a session.")
_add_command("turns", "GET", "turns", help="Show the turns of a session so far, as JSON.")


@sessions_app.command("watch")
def watch(context: typer.Context, session_id: SessionId) -> None:
    """Print state changes and turns as they happen, one JSON object per line, until the end."""
    for name, data in stream_events(context.obj, "v1", "sessions", session_id, "events"):
        typer.echo(on_one_line(json.dumps({"event": name, **data}, ensure_ascii=False)))


def _entries(given: Iterable[str]) -> dict[str, str]:
    """The entries that were given as KEY=VALUE.

    Raises:
        StackError: One has another form, or a key has two values.
    """
    entries: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or entries.setdefault(key, value) != value:
            raise StackError(f"--metadata {text!r}: give KEY=VALUE, and each KEY once")
    return entries


def _call(
    context: typer.Context, method: str, session_id: str, *path: str, body: Json | None = None
) -> None:
    print_json(call_api(context.obj, method, "v1", "sessions", session_id, *path, body=body))
