"""A session's events as they happen: state changes and turns, as server-sent events."""

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress

import anyio
from fastapi import APIRouter, Depends, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import Client, Services, SessionId, Wired
from domain.errors import Unavailable
from domain.ids import SessionKey
from domain.json_lines import on_one_line
from domain.sessions.session import SessionState
from services.sessions.watches import Look

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

LINGER_LOOKS = 6
"""Looks after the close, so that turns that were on their way are seen as well."""
STOP_SECONDS = 8.0
"""How long a stream may take to end when the process is told to stop: longer than one look."""


async def stream_place(wired: Wired, client: Client) -> AsyncGenerator[None]:
    """One of the org's places for streams, until the answer has ended, however it ends.

    Raises:
        TooManyRequests: all of them are taken.
    """
    with wired.watches.place(client.org):
        yield


@router.get(
    "/{session_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(stream_place)],
)
async def stream_events(
    session_id: SessionId,
    request: Request,
    wired: Wired,
    client: Client,
) -> EventSourceResponse:
    """Stream `state`, `turn` and finally `end`; after a reconnect everything is sent again.

    Every event has an id that stays the same (`state:7`, `turn:1/item_x`), so a client that
    reconnects leaves out the ids that it knows.
    """
    key = SessionKey(client.org, session_id)
    await wired.control.require(key)
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
    told: Look | None = None
    looks_left = LINGER_LOOKS
    with wired.watches.watch(key, lambda: _look(wired, key)) as looks:
        async for look in looks:
            if await request.is_disconnected():
                return
            if look is not told:
                told = look
                for event in _fresh(look, seen):
                    yield event
            if look.status is None or look.turns is None:
                yield ServerSentEvent(comment="a part of Everline is away, still here")
            if look.status and look.status.state is SessionState.CLOSED:
                looks_left -= 1
            if stopping.is_set():
                # Without `end`: the session goes on, and the client asks again, somewhere else.
                return
            if not looks_left:
                break
    yield ServerSentEvent(event="end", id="end", data="{}")


async def _look(wired: Services, key: SessionKey) -> Look:
    """What is there now; an outage only delays."""
    status = turns = None
    with suppress(Unavailable):
        status = await wired.control.status(key)
        turns = await wired.archive.transcripts.turns(key) if wired.archive else []
    return Look(status, turns)


def _fresh(look: Look, seen: set[str]) -> Generator[ServerSentEvent]:
    """What has not been sent yet."""
    if look.status is not None:
        state_id = f"state:{look.status.version}"
        if state_id not in seen:
            seen.add(state_id)
            data = on_one_line(look.status.model_dump_json())
            yield ServerSentEvent(event="state", id=state_id, data=data)
    for turn in look.turns or []:
        turn_id = f"turn:{turn.attempt}/{turn.item_id}"
        if turn_id not in seen:
            seen.add(turn_id)
            data = on_one_line(turn.model_dump_json())
            yield ServerSentEvent(event="turn", id=turn_id, data=data)
