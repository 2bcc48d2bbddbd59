"""A session's events as they happen: state changes and turns, as server-sent events."""

import json
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import suppress
from typing import Annotated

import anyio
from fastapi import Depends, Header, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.dependencies import ApiDependencies, Client, Deps, Key
from api.routing import Router
from domain.errors import Unavailable
from domain.ids import SessionKey
from domain.json_lines import on_one_line
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.transcript import StoredTurn
from services.sessions.watches import Snapshot, TakeSnapshot

router = Router(prefix="/v1/sessions", tags=["sessions"])

LINGER_SNAPSHOTS = 6
"""Snapshots taken after the close, to catch turns that arrive late."""
STOP_SECONDS = 8.0
"""How long a stream may take to end at shutdown: longer than one snapshot."""
END = "end"
"""The last event, and its id."""


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
    responses={204: {"description": "The client has received `end`: there is nothing more."}},
    dependencies=[Depends(reserve_stream)],
)
async def stream_events(
    key: Key,
    request: Request,
    deps: Deps,
    last_event_id: Annotated[
        str, Header(alias="Last-Event-ID", description="id of the last event that was received")
    ] = "",
) -> Response:
    """Stream `state`, `turn`, `replaced` and finally `end`; a reconnect resumes the stream.

    A `turn` with a known `attempt` and `item_id` revises that turn; `replaced` names a turn that
    is no longer in the transcript, because the agent's report replaced it.

    Every event has an id that stays the same (`state:7`, `turn:1/item_x`). With `Last-Event-ID`,
    turns that were sent before that event are left out. Others may be sent again, so clients leave
    out the ids that they know.
    """
    await deps.control.require(key)
    if last_event_id == END:
        # A browser's `EventSource` reconnects after the end, and stops at this answer.
        return Response(status_code=204)
    # Header values are bytes, and an item id may have any character.
    last = last_event_id.encode("latin-1").decode(errors="replace")
    stopping = anyio.Event()
    return EventSourceResponse(
        _events(deps, key, request, stopping, last),
        ping=15,
        shutdown_event=stopping,
        shutdown_grace_period=STOP_SECONDS,
    )


async def _events(
    deps: ApiDependencies, key: SessionKey, request: Request, stopping: anyio.Event, last: str
) -> AsyncGenerator[ServerSentEvent]:
    seen = {last}
    resumed = False
    sent: Snapshot | None = None
    snapshots_left = LINGER_SNAPSHOTS
    with deps.watches.watch(key, _snapshots(deps, key)) as snapshots:
        async for snapshot in snapshots:
            if await request.is_disconnected():
                return
            if snapshot is not sent:
                sent = snapshot
                if snapshot.turns is not None and not resumed:
                    seen |= _sent_before(last, snapshot.turns)
                    resumed = True
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
    yield ServerSentEvent(event=END, id=END, data="{}")


def _snapshots(deps: ApiDependencies, key: SessionKey) -> TakeSnapshot:
    """A function that takes the current snapshot; parts that are unavailable are None."""
    stored = deps.archive.transcripts.follow(key) if deps.archive else None
    closed = False

    async def take() -> Snapshot:
        nonlocal closed
        status = turns = None
        # What is not known now is None; the next snapshot asks again.
        with suppress(Unavailable):
            status = await deps.control.status(key)
            if stored and status.state is SessionState.CLOSED and not closed:
                # An older release, during an upgrade, does not number its writes.
                stored.start_again()
                closed = True
            turns = await stored.turns() if stored else ()
        return Snapshot(status, turns)

    return take


def _sent_before(last: str, turns: Sequence[StoredTurn]) -> set[str]:
    """The ids of the turns that a stream had sent when it sent the turn with the id `last`.

    These precede it and were not stored after it; none if there is no such turn.
    """
    ids = [_turn_id(one) for one in turns]
    if last not in ids:
        return set()
    place = ids.index(last)
    until = turns[place].stored_at
    return {
        ids[number]
        for number, one in enumerate(turns[:place])
        if not one.replaced and one.stored_at and until and one.stored_at <= until
    }


def _fresh(snapshot: Snapshot, seen: set[str]) -> Generator[ServerSentEvent]:
    """Events that were not sent yet."""
    shown: dict[str, SessionStatus | StoredTurn] = {}
    if snapshot.status is not None:
        shown[f"state:{snapshot.status.version}"] = snapshot.status
    for one in snapshot.turns or []:
        shown[_turn_id(one)] = one
    for event_id in [one for one in shown if one not in seen]:
        seen.add(event_id)
        name = event_id.partition(":")[0]
        yield ServerSentEvent(event=name, id=event_id, data=on_one_line(_data(shown[event_id])))


def _data(shown: SessionStatus | StoredTurn) -> str:
    if isinstance(shown, SessionStatus):
        return shown.model_dump_json()
    if shown.replaced:
        return json.dumps({"attempt": shown.turn.attempt, "item_id": shown.turn.item_id})
    return shown.turn.model_dump_json()


def _turn_id(stored: StoredTurn) -> str:
    """`turn:1/item_x`, and `turn:1.2/item_x` after its second revision."""
    turn, revision = stored.turn, f".{stored.revision}" if stored.revision else ""
    if stored.replaced:
        return f"replaced:{turn.attempt}/{turn.item_id}"
    return f"turn:{turn.attempt}{revision}/{turn.item_id}"
