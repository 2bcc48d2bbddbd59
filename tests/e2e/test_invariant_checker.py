"""The checker sees what it is there to see: each invariant, broken on purpose and repaired."""

import asyncio
import copy
from collections.abc import AsyncGenerator

import pytest

from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.rooms import room_metadata
from domain.sessions.session import Outcome
from tests import invariants
from tests.harness.agent_callbacks import turn
from tests.harness.ledger import AcceptedStart, Ledger
from tests.harness.rig import DATABASE, Rig
from tests.harness.rooms import watch_for_crowds
from tests.waiting import eventually


@pytest.fixture(scope="module")
async def closed(rig: Rig) -> AsyncGenerator[Rig]:
    """The rig, seen by a client that has had one session, which is over and has three turns."""
    started = await rig.client.start(wait="joined")
    rig.know(started.key)
    turns = [turn(f"item-{n}", f"sentence number {n} of this test", seq=n) for n in range(3)]
    assert (await rig.agent(started.key).turns(started.key.session_id, turns)).is_success
    await rig.client.end(started.key.session_id)
    status = await rig.client.closed(started.key.session_id)
    await rig.histories.session(started.key).result()
    alone = copy.copy(rig)
    alone.ledger = Ledger(secrets=set(rig.ledger.secrets))
    alone.ledger.starts.append(AcceptedStart(started.key, started.room, None, ""))
    for one in (await rig.client.transcript(started.key.session_id)).turns:
        alone.ledger.note_turn(started.key, one)
    alone.ledger.note_status(status)
    assert await invariants.violations(alone) == []
    yield alone
    assert await invariants.violations(alone) == [], "everything was put right again"


def key_of(rig: Rig) -> SessionKey:
    return rig.ledger.sessions[0]


def turn_of(rig: Rig, item_id: str) -> dict[str, str]:
    key = key_of(rig)
    return {"org": key.org, "session_id": key.session_id, "item_id": item_id}


async def test_a_lost_turn_is_seen(closed: Rig) -> None:
    assert closed.mongo is not None
    stored = closed.mongo[DATABASE]["turns"]
    lost = await stored.find_one_and_delete(turn_of(closed, "item-1"))
    assert lost is not None
    found = await invariants.turns_are_kept(closed)
    assert any("item-1" in one and "0 times" in one for one in found)
    await stored.insert_one({**lost, "_id": "another-id"})
    await stored.insert_one(lost)
    found = await invariants.turns_are_kept(closed)
    assert any("item-1" in one and "2 times" in one for one in found)
    await stored.delete_one({"_id": "another-id"})


async def test_another_text_than_was_acknowledged_is_seen(closed: Rig) -> None:
    assert closed.mongo is not None
    stored = closed.mongo[DATABASE]["turns"]
    said = "sentence number 2 of this test"
    await stored.update_one(turn_of(closed, "item-2"), {"$set": {"text": "something else"}})
    found = await invariants.turns_are_kept(closed)
    assert any("another text" in one for one in found)
    assert any("header" in one for one in found)
    await stored.update_one(turn_of(closed, "item-2"), {"$set": {"text": said}})


async def test_a_second_ending_is_seen(closed: Rig) -> None:
    shown = closed.ledger.endings[key_of(closed)]
    shown.add((Outcome.COMPLETED, EndReason.SILENCE))
    assert any(one.startswith("I2") for one in await invariants.each_session_ends_once(closed))
    shown.discard((Outcome.COMPLETED, EndReason.SILENCE))


async def test_a_room_that_is_left_is_seen(closed: Rig) -> None:
    [(room, key)] = closed.ledger.rooms().items()
    await closed.rooms.livekit.create(room, room_metadata(key, closed.installation), 60, 60)
    assert await invariants.no_room_is_left(closed) == [f"I4 room {room} is still there"]
    await closed.rooms.livekit.delete(room)


async def test_an_accepted_session_without_a_workflow_is_seen(closed: Rig) -> None:
    never = AcceptedStart(SessionKey("local", "never-started"), "local.never", "a-key", "")
    again = AcceptedStart(key_of(closed), "local.never", "a-key", "")
    closed.ledger.starts += [never, again]
    found = await invariants.each_start_has_a_workflow(closed)
    assert any("there is no workflow" in one for one in found)
    assert any("a-key" in one for one in found)
    del closed.ledger.starts[-2:]


async def test_what_is_readable_where_it_must_not_be_is_seen(closed: Rig) -> None:
    key = key_of(closed)
    # Search attributes are in clear, and so are ids in logs: both places are really looked at.
    closed.ledger.secrets.add(key.session_id)
    closed.ledger.error_bodies.append(f"an error about {key.session_id}")
    found = " ".join(await invariants.nothing_private_is_seen(closed))
    for place in ("the log of api", "the history of session/", "an error's body"):
        assert f"I9 {place}" in found
    closed.ledger.secrets.discard(key.session_id)
    closed.ledger.error_bodies.pop()


async def test_two_agents_in_a_room_are_seen(rig: Rig) -> None:
    started = await rig.client.start(wait="joined")
    rig.know(started.key)
    alone = Ledger(starts=[AcceptedStart(started.key, started.room, None, "")])
    watch = asyncio.create_task(watch_for_crowds(rig.rooms, alone, longest=0.5))
    metadata = '{"session_id": "a-second-agent-without-everline"}'
    await rig.rooms.livekit.dispatch(started.room, "local-test", metadata)
    await eventually(lambda: bool(alone.crowded), 60, "the crowd is seen")
    watch.cancel()
    await rig.client.end(started.key.session_id)
    await rig.client.closed(started.key.session_id)
    # The rig's own watch may have seen it for long enough, too.
    rig.ledger.crowded[:] = [seen for seen in rig.ledger.crowded if started.room not in seen]
