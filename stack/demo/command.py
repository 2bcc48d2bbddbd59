"""`everline demo`: places a real call, and exits with 0 only if every step succeeded."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic_core import to_json

from domain.ids import SessionKey, session_workflow_id
from stack.demo.call import place_call
from stack.demo.demo_stack import complete_stack
from stack.demo.evidence import Evidence
from stack.demo.screen import Screen, open_console
from stack.demo.verdict import Check, judge
from stack.layout.home import find_home
from stack.progress import Progress

_INTERRUPTED = 130


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a stack running that was started for the demo.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evidence as JSON; the rest goes to stderr.")
    ] = False,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Pick free ports for a new stack.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Save what was shown as an SVG picture.")
    ] = None,
) -> None:
    """Place a real call: recorded speech in, the agent's speech out, and proof of every step.

    Starts the stack if it is not running, and leaves it as it was found. The exit code is 0 only if
    the agent joined, understood and answered every line, the transcript and the summary are stored,
    and the room is gone.
    """
    # LiveKit's SDK logs the expected end of the room as an error.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Interrupt the demo as Ctrl-C does, so that it cleans up.
        signal.signal(number, signal.default_int_handler)
    console = open_console(stderr=as_json, record=picture is not None)
    try:
        with (
            Progress(console) as progress,
            complete_stack(find_home(), progress, keep=keep, free_ports=free_ports) as stack,
        ):
            screen = Screen(console)
            started = "started for the demo" if stack.started else "already running, and stays up"
            screen.title(f"{started}: API {stack.urls.api}")
            seen = asyncio.run(place_call(stack, screen))
            checks = judge(seen)
            org = seen.joined.org if seen.joined else "local"
            url = workflow_url(str(stack.urls.temporal_ui), org, seen.session_id)
            if seen.joined:
                stays = keep or not stack.started
                screen.link("Temporal UI", url, "" if stays else "(stays up with --keep)")
            screen.conclude(checks)
            if picture is not None:
                screen.save_picture(picture)
            if as_json:
                typer.echo(_as_json(seen, checks, screen.seconds, url))
    except KeyboardInterrupt:
        console.print("Interrupted; nothing of the demo is left.")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(0 if all(found.ok for found in checks) else 1)


def workflow_url(temporal_ui: str, org: str, session_id: str) -> str:
    """Return the page of a session's workflow in the Temporal UI."""
    workflow_id = session_workflow_id(SessionKey(org, session_id))
    return f"{temporal_ui}/namespaces/default/workflows/{quote(workflow_id, safe='')}"


def _as_json(seen: Evidence, checks: list[Check], seconds: float, temporal_ui: str) -> str:
    document = {
        "ok": all(found.ok for found in checks),
        "seconds": round(seconds, 1),
        "sessionId": seen.session_id,
        "checks": checks,
        "joinSeconds": seen.joined and seen.joined.join_seconds,
        "joinAttempts": seen.joined and seen.joined.attempt,
        "liveTurns": seen.live_turns,
        "transcript": seen.transcript,
        "summary": seen.summary,
        "session": seen.ended,
        "recording": seen.recording,
        "temporalUi": temporal_ui,
    }
    return to_json(document, indent=2).decode()
