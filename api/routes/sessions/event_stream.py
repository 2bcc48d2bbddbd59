"""A session's events as they happen: state changes and turns, as server-sent events."""

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress

import anyio
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import ApiDependencies, Client, Deps, Key
from domain.errors import Unavailable
from domain.ids import SessionKey
from domain.json_lines import on_one_line
from domain.sessions.session import SessionState
from services.sessions.watches import Snapshot

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

LINGER_SNAPSHOTS = 6
"""Snapshots taken after the close, to catch turns that arrive late."""
STOP_SECONDS = 8.0
"""How long a stream may take to end at shutdown: longer than one snapshot."""


async def reserve_stream(deps: Deps, client: Client) -> AsyncGenerator[None]:
    """Reserve one of the org's streams until the response ends.

    Raises:
        TooManyRequests: the org has reached its limit.
    """
    with deps.watches.place(client.org):
        yield


@router.get(
    "/{session_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(reserve_stream)],
)
async def stream_events(key: Key, request: Request, deps: Deps) -> EventSourceResponse:
    """Stream `state`, `turn` and finally `end`; after a reconnect everything is sent again.

    Every event has an id that stays the same (`state:7`, `turn:1/item_x`), so a client that
    reconnects leaves out the ids that it knows.
    """
    await deps.control.require(key)
    stopping = anyio.Event()
    return EventSourceResponse(
        _events(deps, key, request, stopping),
        ping=15,
        shutdown_event=stopping,
        shutdown_grace_period=STOP_SECONDS,
    )


async def _events(
    deps: ApiDependencies, key: SessionKey, request: Request, stopping: anyio.Event
) -> AsyncGenerator[ServerSentEvent]:
    seen: set[str] = set()
    sent: Snapshot | None = None
    snapshots_left = LINGER_SNAPSHOTS
    with deps.watches.watch(key, lambda: _snapshot(deps, key)) as snapshots:
        async for snapshot in snapshots:
            if await request.is_disconnected():
                return
            if snapshot is not sent:
                sent = snapshot
                for event in _fresh(snapshot, seen):
                    yield event
            if snapshot.status is None or snapshot.turns is None:
                yield ServerSentEvent(comment="a dependency is unavailable, still here")
            if snapshot.status and snapshot.status.state is SessionState.CLOSED:
                snapshots_left -= 1
            if stopping.is_set():
                # Without `end`: the session continues, and the client reconnects elsewhere.
                return
            if not snapshots_left:
                break
    yield ServerSentEvent(event="end", id="end", data="{}")


async def _snapshot(deps: ApiDependencies, key: SessionKey) -> Snapshot:
    """The current snapshot; parts that are unavailable are None."""
    status = turns = None
    with suppress(Unavailable):
        status = await deps.control.status(key)
        turns = await deps.archive.transcripts.turns(key) if deps.archive else []
    return Snapshot(status, turns)


def _fresh(snapshot: Snapshot, seen: set[str]) -> Generator[ServerSentEvent]:
    """Events that were not sent yet."""
    shown: dict[str, BaseModel] = {}
    if snapshot.status is not None:
        shown[f"state:{snapshot.status.version}"] = snapshot.status
    shown |= {f"turn:{turn.attempt}/{turn.item_id}": turn for turn in snapshot.turns or []}
    for event_id in [one for one in shown if one not in seen]:
        seen.add(event_id)
        data = on_one_line(shown[event_id].model_dump_json())
        yield ServerSentEvent(event=event_id.partition(":")[0], id=event_id, data=data)
