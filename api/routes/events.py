"""A session's events as they happen: state changes and turns, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import Client, Services, Wired, require_session
from api.routes.v1_sessions import read_status
from domain.errors import Unavailable
from domain.ids import SessionKey, check_id
from domain.session import SessionState

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

POLL_SECONDS = 0.5
LINGER_POLLS = 6
"""Polls after the close, so that turns that were on their way are seen as well."""


@router.get("/{session_id}/events", response_class=EventSourceResponse)
async def events(
    session_id: str, request: Request, wired: Wired, client: Client
) -> EventSourceResponse:
    """Stream `state`, `turn` and finally `end`; after a reconnect everything is sent again.

    Every event has an id that stays the same (`state:7`, `turn:1/item_x`), so a client that
    reconnects leaves out the ids that it knows.
    """
    key = SessionKey(client.org, check_id(session_id, "sessionId"))
    await require_session(wired, key)
    return EventSourceResponse(_events(wired, key, request), ping=15)


async def _events(
    wired: Services, key: SessionKey, request: Request
) -> AsyncGenerator[ServerSentEvent]:
    seen: set[str] = set()
    polls_left = LINGER_POLLS
    while polls_left and not await request.is_disconnected():
        fresh, closed = await _look(wired, key, seen)
        for event in fresh:
            yield event
        if closed:
            polls_left -= 1
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
            fresh.append(ServerSentEvent(event="state", id=state_id, data=status.model_dump_json()))
        for turn in await wired.archive.transcripts.turns(key) if wired.archive else []:
            turn_id = f"turn:{turn.attempt}/{turn.item_id}"
            if turn_id not in seen:
                seen.add(turn_id)
                fresh.append(ServerSentEvent(event="turn", id=turn_id, data=turn.model_dump_json()))
    except Unavailable:
        fresh.append(ServerSentEvent(comment="a part of Everline is away, still here"))
    return fresh, closed
