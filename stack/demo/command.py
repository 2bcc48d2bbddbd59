"""`everline demo`: places a real call, and succeeds only if all of it happened."""

import asyncio
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from domain.ids import SessionKey, session_workflow_id
from stack.demo.call import place_call
from stack.demo.evidence import Evidence
from stack.demo.screen import Screen, open_console
from stack.demo.stage import Stage, interruptible, standing_stack
from stack.demo.verdict import judge
from stack.layout.home import find_home
from stack.progress import Progress

_INTERRUPTED = 130


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a stack running that was started for the demo.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evidence as JSON; the show goes to stderr.")
    ] = False,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Pick free ports for a new stack.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Save what was shown as an SVG picture.")
    ] = None,
) -> None:
    """Place a real call: recorded speech in, the agent's speech out, and proof of every step.

    Starts the stack if it does not run, and leaves it as it was found. The exit code is 0 only if
    the agent joined, understood and answered every line, the transcript and the summary are stored,
    and the room is gone.
    """
    # It reports the end of the room, which is what the demo wants, as errors.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    console = open_console(stderr=as_json, record=picture is not None)
    progress = Progress(console)
    try:
        with (
            interruptible(),
            standing_stack(find_home(), progress, keep=keep, free_ports=free_ports) as stage,
        ):
            screen = Screen(console)
            screen.title(_standing(stage))
            seen = asyncio.run(place_call(stage, screen))
            checks = judge(seen)
            _link_up(screen, stage, seen)
            screen.conclude(checks)
            if picture is not None:
                screen.save_picture(picture)
            if as_json:
                typer.echo(json.dumps(_as_json(stage, screen, seen), indent=2, ensure_ascii=False))
    except KeyboardInterrupt:
        console.print("Interrupted; nothing of the demo is left.")
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        progress.close()
    raise typer.Exit(0 if all(found.ok for found in checks) else 1)


def _standing(stage: Stage) -> str:
    if not stage.started:
        return f"runs already, and stays: API {stage.urls.api}"
    return f"started for the demo: API {stage.urls.api}"


def workflow_url(temporal_ui: str, org: str, session_id: str) -> str:
    """Where the Temporal UI shows the workflow of a session."""
    workflow_id = session_workflow_id(SessionKey(org, session_id))
    return f"{temporal_ui}/namespaces/default/workflows/{quote(workflow_id, safe='')}"


def _link_up(screen: Screen, stage: Stage, seen: Evidence) -> None:
    if seen.joined is None:
        return
    url = workflow_url(str(stage.urls.temporal_ui), seen.joined.org, seen.session_id)
    screen.link("Temporal UI", url, "" if stage.stays else "(with --keep the stack stays)")


def _as_json(stage: Stage, screen: Screen, seen: Evidence) -> dict[str, object]:
    checks = judge(seen)
    org = seen.joined.org if seen.joined else "local"
    return {
        "ok": all(found.ok for found in checks),
        "seconds": round(screen.seconds, 1),
        "sessionId": seen.session_id,
        "checks": [asdict(found) for found in checks],
        "joinSeconds": seen.joined.join_seconds if seen.joined else None,
        "joinAttempts": seen.joined.attempt if seen.joined else None,
        "liveTurns": [turn.model_dump(mode="json") for turn in seen.live_turns],
        "transcript": seen.transcript.model_dump(mode="json") if seen.transcript else None,
        "summary": seen.summary.model_dump(mode="json") if seen.summary else None,
        "session": seen.ended.model_dump(mode="json") if seen.ended else None,
        "recording": str(seen.recording) if seen.recording else None,
        "temporalUi": workflow_url(str(stage.urls.temporal_ui), org, seen.session_id),
    }
