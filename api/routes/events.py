"""A session's events as they happen: state changes and turns, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

import anyio
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import Client, Services, SessionId, Wired, require_session
from api.routes.v1_sessions import read_status
from domain.errors import Unavailable
from domain.ids import SessionKey
from domain.json_lines import on_one_line
from domain.session import SessionState

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

POLL_SECONDS = 0.5
LINGER_POLLS = 6
"""Polls after the close, so that turns that were on their way are seen as well."""
STOP_SECONDS = 8.0
"""How long a stream may take to end when the process is told to stop: longer than one look."""


@router.get("/{session_id}/events", response_class=EventSourceResponse)
async def stream_events(
    session_id: SessionId, request: Request, wired: Wired, client: Client
) -> EventSourceResponse:
    """Stream `state`, `turn` and finally `end`; after a reconnect everything is sent again.

    Every event has an id that stays the same (`state:7`, `turn:1/item_x`), so a client that
    reconnects leaves out the ids that it knows.
    """
    key = SessionKey(client.org, session_id)
    await require_session(wired, key)
    stopping = anyio.Event()
    return EventSourceResponse(
        _events(wired, key, request, stopping),
        ping=15,
        shutdown_event=stopping,
        shutdown_grace_period=STOP_SECONDS,
    )


async def _events(
    wired: Services, key: SessionKey, request: Request, stopping: anyio.Event
) -> AsyncGenerator[ServerSentEvent]:
    seen: set[str] = set()
    polls_left = LINGER_POLLS
    while polls_left and not await request.is_disconnected():
        fresh, closed = await _look(wired, key, seen)
        for event in fresh:
            yield event
        if closed:
            polls_left -= 1
        if stopping.is_set():
            # Without `end`: the session goes on, and the client asks again, somewhere else.
            return
        await asyncio.sleep(POLL_SECONDS)
    yield ServerSentEvent(event="end", id="end", data="{}")


async def _look(
    wired: Services, key: SessionKey, seen: set[str]
) -> tuple[list[ServerSentEvent], bool]:
    """What is new, and whether the session is closed; an outage only delays."""
    fresh: list[ServerSentEvent] = []
    closed = False
    try:
        status = await read_status(wired, key)
        closed = status.state is SessionState.CLOSED
        state_id = f"state:{status.version}"
        if state_id not in seen:
            seen.add(state_id)
            fresh.append(
                ServerSentEvent(
                    event="state", id=state_id, data=on_one_line(status.model_dump_json())
                )
            )
        for turn in await wired.archive.transcripts.turns(key) if wired.archive else []:
            turn_id = f"turn:{turn.attempt}/{turn.item_id}"
            if turn_id not in seen:
                seen.add(turn_id)
                fresh.append(
                    ServerSentEvent(
                        event="turn", id=turn_id, data=on_one_line(turn.model_dump_json())
                    )
                )
    except Unavailable:
        fresh.append(ServerSentEvent(comment="a part of Everline is away, still here"))
    return fresh, closed
