"""The checker sees what it is there to see: each invariant, broken on purpose and repaired."""

import asyncio
import copy
import dataclasses
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent, WorkflowTaskFailedEventAttributes
from temporalio.client import WorkflowHistory

from adapters.mongo.agents.places import PLACES, QUEUE
from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.rooms import room_metadata
from domain.sessions.session import Outcome
from tests import invariants
from tests.chaos.machine.checker import no_place_is_left, nothing_is_open, orgs_are_apart
from tests.harness.agent_callbacks import turn
from tests.harness.histories import Histories
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


async def test_a_second_summary_is_seen(closed: Rig) -> None:
    assert closed.mongo is not None
    stored = closed.mongo[DATABASE]["summaries"]
    key = key_of(closed)
    again = {"_id": "another-id", **key._asdict()}
    had = await stored.count_documents(key._asdict())
    await stored.insert_many([again, {**again, "_id": "one-more"}][: 2 - had])
    assert f"I3 {key}: 2 summaries" in await invariants.one_summary_each(closed)
    await stored.delete_many({"_id": {"$in": ["another-id", "one-more"]}})


async def test_a_second_event_of_a_kind_is_seen(closed: Rig) -> None:
    assert closed.mongo is not None
    stored = closed.mongo[DATABASE]["webhook_deliveries"]
    key = key_of(closed)
    event = {**key._asdict(), "event": "session.ended"}
    await stored.insert_many([{**event, "_id": one, "event_id": one} for one in ("a", "b")])
    assert f"I3 {key}: 2 ids of session.ended" in await invariants.one_event_of_each_kind(closed)
    await stored.delete_many({"_id": {"$in": ["a", "b"]}})


class Tampered(Histories):
    """Histories that their workflows would not have written."""

    async def fetch(self, workflow_id: str) -> WorkflowHistory | None:
        found = await super().fetch(workflow_id)
        if found is None or not workflow_id.startswith("session/"):
            return None
        first, failed, *events = found.events
        failed = HistoryEvent(
            event_id=2,
            event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
            workflow_task_failed_event_attributes=WorkflowTaskFailedEventAttributes(
                cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
            ),
        )
        kept = [one for one in events if not one.HasField("timer_started_event_attributes")]
        return dataclasses.replace(found, events=[first, failed, *kept])


async def test_a_failed_task_and_a_history_that_does_not_replay_are_seen(closed: Rig) -> None:
    tampered = copy.copy(closed)
    tampered.histories = Tampered(closed.histories.client)
    found = " ".join(await invariants.histories_replay(tampered))
    assert "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR" in found
    assert "does not replay" in found


async def test_a_place_that_nobody_needs_any_more_is_seen(closed: Rig) -> None:
    assert closed.mongo is not None
    places, queue = closed.mongo[DATABASE][PLACES], closed.mongo[DATABASE][QUEUE]
    since = {"claimed_at": datetime.now(UTC), "agent_name": "none", "number": 1}
    held = {"_id": "held", **key_of(closed)._asdict(), **since}
    for collection in (places, queue):
        await collection.insert_one(dict(held))
    found = await no_place_is_left(closed)
    assert [one.rpartition(" ")[2] for one in found] == [PLACES, QUEUE]
    for collection in (places, queue):
        await collection.delete_one({"_id": "held"})
    assert await no_place_is_left(closed) == []


async def test_a_session_that_another_org_learns_of_is_seen(closed: Rig) -> None:
    # Its own org is the most curious stranger that there can be.
    found = await orgs_are_apart(closed, closed.client)
    assert any("GET" in one and "gives 200 to others" in one for one in found)
    stranger = await closed.other_org("stranger")
    assert await orgs_are_apart(closed, stranger) == []


async def test_a_session_that_stays_open_is_seen(rig: Rig) -> None:
    started = await rig.client.start(wait="joined")
    rig.know(started.key)
    alone = copy.copy(rig)
    alone.ledger = Ledger(starts=[AcceptedStart(started.key, started.room, None, "")])
    told = await invariants.each_session_ends_once(alone)
    assert told == [f"I2 {started.key}: it has not ended"]
    assert any(started.key.session_id in one for one in await nothing_is_open(rig))
    await rig.client.end(started.key.session_id)
    await rig.client.closed(started.key.session_id)
