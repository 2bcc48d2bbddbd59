"""What is said to a session: refused when it makes no sense, harmless when it comes twice."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from adapters.temporal.sessions import Signal
from domain.agents.servers import Heartbeat
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import (
    AgentLost,
    EndRequest,
    Extend,
    Finalise,
    ParticipantChange,
    ParticipantKind,
    Redispatch,
    ReportReceived,
    WaitUntil,
)
from domain.sessions.session import Stage
from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio, Update
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others, takes_long
from workflows.session import SessionWorkflow
from workflows.session_parts.changes import MAX_CHANGES

SHUFFLES = 16
SHUFFLES_AT_ONCE = 8


async def _refusal(call: Call, update: Update) -> tuple[str | None, str]:
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await call.update(update)
    cause = refusal.value.cause
    assert isinstance(cause, ApplicationError)
    return cause.type, cause.message


async def _heard(studio: Studio, agent_name: str, free: int) -> None:
    """An agent server says how many calls it would take; it is not silent before the test ends."""
    beat = Heartbeat(server_id=agent_name, agent_name=agent_name, max_jobs=4, free=free)
    await studio.agent_servers.record(beat, datetime.now(UTC) + timedelta(hours=1))


@beside_the_others
async def test_a_redispatch_replaces_the_agent(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_removed=False), Plays()).live()
    await call.update(Redispatch(by="ops"))
    status = await call.until("replaced", lambda status: status.joins == 2)
    await call.end()

    closed = await call.closed()

    assert in_order(closed.told, "attempt 1 is lost: replaced by ops", "attempt 2: dispatched")
    assert len(call.dispatched_attempts()) == 2
    assert status.agent_identity
    assert status.agent_identity.startswith("agent-2")
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_the_configuration_is_stored_once_whatever_the_attempts(studio: Studio) -> None:
    call = studio.call(Plays(), Plays(), Plays())
    call.request.config.prompt = "p" * 100_000
    await call.live()
    for joins in (2, 3):
        await call.update(Redispatch())
        await call.until("replaced", lambda status, joins=joins: status.joins == joins)
    await call.end()

    closed = await call.closed()

    sent = studio.rooms.dispatched[call.room]
    assert [json.loads(metadata)["prompt"] for metadata in sent] == [call.request.config.prompt] * 3
    stored = sum(event.ByteSize() for event in closed.history.events)
    assert 100_000 < stored < 180_000, "a second copy would be 100 kB more"


@beside_the_others
async def test_a_redispatch_waits_for_no_caller_and_is_no_loss(studio: Studio) -> None:
    call = await studio.call(Plays(), max_replacements=0, caller_return=600).live()
    await call.caller_leaves()
    await call.until("the caller is away", lambda s: s.waiting_for == "caller_return")
    await call.update(Redispatch(by="ops"))

    status = await call.until("replaced", lambda status: status.joins == 2)

    assert not status.caller_present
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_redispatch_without_a_free_place_changes_nothing(studio: Studio) -> None:
    await _heard(studio, "full-fleet", free=0)
    call = await studio.call(Plays(), agent_name="full-fleet", join_attempts=1).live()
    before = await call.status()

    assert await _refusal(call, Redispatch(by="ops")) == (
        "no_capacity",
        "no agent server named 'full-fleet' has a free place for a new agent",
    )

    after = await call.status()
    assert (after.state, after.attempt, after.agent_identity, after.timeline) == (
        "live",
        1,
        before.agent_identity,
        before.timeline,
    )
    assert call.agents() == [before.agent_identity]
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_a_refused_redispatch_may_be_asked_for_again_when_there_is_a_place(
    studio: Studio,
) -> None:
    await _heard(studio, "busy-fleet", free=0)
    call = await studio.call(Plays(), Plays(), agent_name="busy-fleet").live()
    assert (await _refusal(call, Redispatch()))[0] == "no_capacity"

    await _heard(studio, "busy-fleet", free=1)
    await call.update(Redispatch())

    await call.until("replaced", lambda status: status.joins == 2)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_every_redispatch_that_a_session_may_have_is_carried_out(studio: Studio) -> None:
    await _heard(studio, "counted-fleet", free=0)
    call = await studio.call(Plays(), Plays(), agent_name="counted-fleet").live()
    most = MAX_CHANGES["redispatched"]
    for _ in range(most - 1):
        assert (await _refusal(call, Redispatch()))[0] == "no_capacity"

    await _heard(studio, "counted-fleet", free=1)
    await call.update(Redispatch())

    await call.until("replaced", lambda status: status.joins == 2)
    with pytest.raises(WorkflowUpdateFailedError) as one_more:
        await call.update(Redispatch())
    assert f"a session can be redispatched at most {most} times" in str(one_more.value.cause)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_dispatch_that_is_lost_after_a_redispatch_ends_no_call(studio: Studio) -> None:
    """Although a start, or a lost agent, has one attempt only."""
    agents = (Plays(), NEVER_COMES, NEVER_COMES, Plays())
    call = await studio.call(*agents, join_attempts=1, join_timeout=3).live()
    await call.update(Redispatch())

    status = await call.until("replaced", lambda status: status.joins == 2)

    assert (status.state, status.attempt) == ("live", 4)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_redispatch_needs_a_live_call(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    await call.until("joining", lambda status: status.agent_dispatched)

    assert await _refusal(call, Redispatch()) == (
        "conflict",
        "an agent can be replaced only in a live call",
    )

    await call.end()
    await call.closed()


@beside_the_others
@takes_long
async def test_an_extension_moves_the_end_of_the_call(studio: Studio) -> None:
    call = await studio.call(max_duration=10).live()
    before = await call.status()
    after = await call.update(Extend(seconds=600))
    assert before.deadline
    assert after.deadline
    assert (after.deadline - before.deadline).total_seconds() == 600
    old_end = before.deadline + timedelta(seconds=1)
    await eventually(lambda: datetime.now(UTC) > old_end)
    assert (await call.status()).state == "live", "it would have been over by now"
    assert await _refusal(call, Extend(seconds=86_400)) == (
        "conflict",
        "a call can last at most 24 hours",
    )
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_key_extends_by_the_same_seconds_alone(studio: Studio) -> None:
    call = await studio.call(max_duration=600).live()
    once = Extend(seconds=60, idempotency_key="order-1")

    first, again = await call.update(once), await call.update(once)
    refusal = await _refusal(call, Extend(seconds=61, idempotency_key="order-1"))
    other = await call.update(Extend(seconds=60, idempotency_key="order-2"))

    assert first.deadline == again.deadline
    assert refusal[0] == "idempotency_mismatch"
    assert first.deadline
    assert other.deadline == first.deadline + timedelta(seconds=60)
    await call.end()
    await call.closed()


@beside_the_others
async def test_only_a_call_in_progress_can_be_extended(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    await call.until("joining", lambda status: status.agent_dispatched)

    kind, reason = await _refusal(call, Extend(seconds=60))

    assert (kind, reason) == ("conflict", "only a call in progress can be extended")
    await call.end()
    await call.closed()


@beside_the_others
async def test_a_closed_session_is_not_steered(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False), room_deletion_wait=1).live()
    studio.rooms.away.add(call.room)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.until("closed", lambda status: status.state == "closed")

    for order in (Extend(seconds=60), Redispatch(), Finalise()):
        kind, _ = await _refusal(call, order)
        assert kind == "conflict", "its workflow goes on until the room is gone"

    studio.rooms.away.discard(call.room)
    await call.closed()


@beside_the_others
async def test_waiting_for_a_stage(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, report_grace=1).start()
    digest = call.request.request_digest

    accepted = await call.update(WaitUntil(stage=Stage.ACCEPTED, request_digest=digest))
    dispatched = await call.update(WaitUntil(stage=Stage.DISPATCHED, request_digest=digest))
    (dispatch,) = await studio.rooms.dispatches(call.room)
    studio.rooms.join(call.room, "agent-by-hand", "agent", dispatch=dispatch.id)
    joined = await call.update(WaitUntil(stage=Stage.JOINED))

    assert accepted.state in ("starting", "joining")
    assert (dispatched.agent_dispatched, dispatched.joins) == (True, 0)
    assert (joined.joins, joined.timeline) == (1, [])
    assert await _refusal(call, WaitUntil(stage=Stage.ACCEPTED, request_digest="other")) == (
        "idempotency_mismatch",
        "this session was started with another request",
    )
    await call.end()
    await call.closed()


@beside_the_others
async def test_waiting_for_what_will_not_come_ends_with_the_call(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    waiting = await call.handle.start_update(  # pyright: ignore[reportUnknownMemberType] - SDK's
        SessionWorkflow.wait_until,
        WaitUntil(stage=Stage.JOINED),
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )
    await call.until("joining", lambda status: status.agent_dispatched)
    await call.end()

    answer = await waiting.result()
    closed = await call.closed()

    assert (answer.joins, answer.end_reason) == (0, "end_requested")
    assert closed.ended == ("cancelled", "end_requested")


@beside_the_others
async def test_the_same_event_counts_once(studio: Studio) -> None:
    call = await studio.call().live()
    for _ in range(3):
        await call.crew.report(1, ReportEnd.AGENT_ENDED)
    for _ in range(3):
        await call.end("the-same")

    closed = await call.closed()

    assert sum("report of 2 turns" in entry for entry in closed.told) == 1
    assert closed.ended == ("completed", "agent_ended")


def _everything(call: Call, identity: str) -> list[Signal | AgentLost | Update]:
    """One of everything that can be said to a session, sensible or not."""

    def report(attempt: int, end: ReportEnd) -> ReportReceived:
        return ReportReceived(
            event_id=f"report:{attempt}:{end}",
            attempt=attempt,
            digest=f"d-{attempt}-{end}",
            end_reason=end,
            turn_count=1,
            stored=True,
        )

    joined, left = ParticipantChange.JOINED, ParticipantChange.LEFT
    caller, agent = ParticipantKind.CALLER, ParticipantKind.AGENT
    return [
        call.participant(joined, caller, "caller", "PA_1"),
        call.participant(left, caller, "caller", "PA_1"),
        call.participant(joined, caller, "caller", "PA_2"),
        call.participant(left, agent, identity, "PA_agent"),
        call.failure(1, "it says that it cannot go on"),
        call.failure(5, "of no attempt that there is"),
        AgentLost(event_id=call.event_id(), attempt=1, reason="no sign of life"),
        AgentLost(event_id=call.event_id(), attempt=2, reason="no sign of life"),
        report(1, ReportEnd.SHUTDOWN),
        report(1, ReportEnd.AGENT_ENDED),
        report(2, ReportEnd.CALLER_LEFT),
        report(9, ReportEnd.ERROR),
        EndRequest(event_id=call.event_id(), by="a client"),
        Extend(seconds=5),
        Redispatch(by="ops"),
        Finalise(by="ops"),
    ]


async def _say(call: Call, message: Signal | AgentLost | Update) -> None:
    try:
        if isinstance(message, AgentLost):
            await call.handle.signal(SessionWorkflow.agent_lost, message)
        elif isinstance(message, WaitUntil | Extend | Redispatch | Finalise):
            await call.update(message)
        else:
            await call.tell(message)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    except WorkflowUpdateFailedError:
        if isinstance(message, Finalise) and (await call.status()).state != "closed":
            raise


async def _shuffled(studio: Studio, seed: int, gate: asyncio.Semaphore) -> None:
    async with gate:
        await _play_shuffled(studio, seed)


async def _play_shuffled(studio: Studio, seed: int) -> None:
    chance = random.Random(seed)
    parts = [Plays(report_when_told=chance.random() < 0.5), Plays(), NEVER_COMES]
    call = await studio.call(*parts, join_timeout=1, max_duration=8, report_grace=2).live(
        with_caller=False
    )
    identity = str((await call.status()).agent_identity)
    repeated = [m for m in _everything(call, identity) for _ in range(chance.randint(1, 3))]
    chance.shuffle(repeated)
    for message in repeated[: chance.randint(3, len(repeated))]:
        await _say(call, message)

    closed = await call.closed()

    possible = ("completed", "report_missing", "agent_failed", "agent_lost")
    assert closed.status.outcome in possible, f"seed {seed}: {closed.told}"


@beside_the_others
@takes_long
async def test_anything_in_any_order_up_to_three_times_leads_to_one_end(studio: Studio) -> None:
    gate = asyncio.Semaphore(SHUFFLES_AT_ONCE)
    await asyncio.gather(*(_shuffled(studio, seed, gate) for seed in range(SHUFFLES)))
