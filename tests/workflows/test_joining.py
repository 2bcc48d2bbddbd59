"""Getting an agent in: a dispatch proves nothing, so every attempt is checked and counted."""

import pytest

from domain.errors import StaleAttempt
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import AgentReady
from domain.sessions.rooms import room_metadata
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.installation import INSTALLATION
from tests.fakes.rooms import Fault
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others


async def _finished(call: Call) -> None:
    await call.crew.report((await call.status()).attempt, ReportEnd.AGENT_ENDED)
    closed = await call.closed()
    assert closed.ended == ("completed", "agent_ended")


async def _room_is_there(call: Call) -> None:
    """As after a creation whose answer was lost, so that somebody can be in it in time."""
    await call.studio.rooms.create(call.room, room_metadata(call.key, INSTALLATION), 60, 60)


@beside_the_others
async def test_a_later_attempt_succeeds(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, Plays(), join_timeout=1).live()

    status = await call.status()

    assert (status.attempt, status.dispatches, status.joins) == (2, 2, 1)
    assert status.agent_identity
    assert status.agent_identity.startswith("agent-2")
    assert (
        list(studio.rooms.rooms[call.room].dispatches.values())
        == (studio.rooms.dispatched[call.room][1:])
    ), "the dispatch of the first attempt was taken back"
    await _finished(call)


@beside_the_others
async def test_a_session_that_started_without_an_agent_says_so_from_its_first_dispatch(
    studio: Studio,
) -> None:
    call = studio.call(NEVER_COMES, join_timeout=1, join_attempts=2)
    call.request.no_agent = "no agent server named 'x'; start one"
    await call.start()

    closed = await call.closed()

    assert closed.told.count("no agent server named 'x'; start one") == 1
    assert in_order(
        closed.told, "attempt 1: dispatched", "no agent server named", "attempt 1 failed"
    )
    reason = closed.status.reason or ""
    assert reason.startswith("no agent joined the room in any attempt: no agent within 1 s")
    assert reason.endswith("; no agent server named 'x'; start one")


@beside_the_others
async def test_a_session_whose_agents_hang_ends_with_what_was_seen(studio: Studio) -> None:
    call = studio.call(Plays(claims=None), ready_timeout=1, join_attempts=1)
    call.request.no_agent = "no agent server named 'x'; start one"
    await call.start()

    assert "in the room, but not ready in 1 s" in ((await call.closed()).status.reason or "")


@beside_the_others
async def test_an_agent_that_comes_too_late_cannot_meet_the_next_one(studio: Studio) -> None:
    call = await studio.call(Plays(appears_with=2), Plays(appears=0.5), join_timeout=5).live()
    await eventually(lambda: bool(call.crew.refusals), what="the late one is refused")

    status = await call.status()

    assert status.attempt == 2
    assert call.crew.refusals == ["attempt 1 was replaced by attempt 2"]
    agents = call.agents()
    assert agents == [status.agent_identity]
    await _finished(call)


@beside_the_others
async def test_an_agent_that_is_there_and_never_ready_is_removed(studio: Studio) -> None:
    call = await studio.call(Plays(claims=None), Plays(), ready_timeout=5).live()

    status = await call.status()

    assert status.attempt == 2
    assert any("in the room, but not ready in 5 s" in e.text for e in status.timeline)
    assert studio.rooms.count("remove_participant", call.room) == 1
    await _finished(call)


@beside_the_others
async def test_a_slow_agent_is_waited_for_within_its_budget(studio: Studio) -> None:
    call = await studio.call(Plays(appears=0.6, claims=0.7)).live()

    status = await call.status()

    assert (status.attempt, status.joins) == (1, 1)
    assert status.join_seconds is not None
    assert status.join_seconds >= 1.3
    await _finished(call)


@beside_the_others
async def test_an_agent_that_cannot_start_ends_the_session_at_once(studio: Studio) -> None:
    call = await studio.call(Plays(fails="no such model", fails_for_good=True)).start()

    closed = await call.closed()

    assert closed.ended == ("agent_failed", "agent_failed")
    assert closed.status.reason == "no such model"
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_an_agent_that_may_start_another_time_gets_all_attempts(studio: Studio) -> None:
    call = await studio.call(Plays(fails="rate limited")).start()

    closed = await call.closed()

    assert closed.ended == ("agent_failed", "agent_failed")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_an_agent_that_fails_once_is_followed_by_one_that_does_not(studio: Studio) -> None:
    call = await studio.call(Plays(fails="rate limited"), Plays()).live()

    assert (await call.status()).attempt == 2
    await _finished(call)


@beside_the_others
async def test_a_report_before_the_agent_was_ready_is_a_failed_attempt(studio: Studio) -> None:
    call = await studio.call(Plays(claims=None), Plays()).start()
    await call.until("is not ready", lambda status: status.waiting_for == "agent_ready")
    await call.crew.report(1, ReportEnd.ERROR)

    status = await call.until("joined", lambda status: status.joins == 1)

    assert status.attempt == 2
    await call.caller_joins()
    await _finished(call)


@beside_the_others
async def test_claims_of_another_attempt_or_job_are_refused(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, Plays(), join_timeout=1).live()
    await eventually(lambda: bool(call.crew.answers), what="the claim is answered")
    accepted = call.crew.answers[-1]
    status = await call.status()
    job = f"AJ_{status.agent_identity}"

    async def claim(attempt: int, job_id: str) -> str:
        order = AgentReady(attempt=attempt, job_id=job_id, identity="agent-x")
        with pytest.raises(StaleAttempt) as refusal:
            await call.claim(order)
        return refusal.value.message

    assert accepted.accepted
    assert accepted.remaining == 600, "the clock begins with the join"
    assert await claim(1, "AJ_late") == "attempt 1 was replaced by attempt 2"
    assert await claim(3, "AJ_early") == "attempt 3 was never dispatched"
    assert await claim(2, "AJ_other") == "attempt 2 was claimed by another job"
    again = AgentReady(attempt=2, job_id=job, identity=str(status.agent_identity))
    assert await call.claim(again) == accepted, "the same claim, the same answer"
    await _finished(call)
    assert await claim(2, "AJ_other") == "the session is closed"


@beside_the_others
async def test_a_claim_while_the_session_ends_is_refused(studio: Studio) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=600).live()
    await call.end()
    await call.until("ending", lambda status: status.state == "ending")

    order = AgentReady(attempt=1, job_id="AJ_other", identity="agent-x")
    with pytest.raises(StaleAttempt):
        await call.claim(order)

    await call.crew.report(1, ReportEnd.END_REQUESTED)
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_dispatch_whose_answer_was_lost_is_not_made_twice(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["dispatch", call.room] += [Fault.DONE_THEN_SILENT]
    await call.live()

    assert studio.rooms.count("dispatch", call.room) == 1, "the retry found it"
    assert call.dispatched_attempts() == [1]
    await _finished(call)


@beside_the_others
async def test_livekit_is_away_as_the_agent_is_dispatched(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["dispatch", call.room] += [Fault.AWAY, Fault.AWAY, Fault.DONE_THEN_SILENT]
    await call.live()

    assert studio.rooms.count("dispatch", call.room) == 3
    assert call.dispatched_attempts() == [1]
    assert (await call.status()).attempt == 1
    await _finished(call)


@beside_the_others
async def test_livekit_is_away_while_the_agent_is_looked_for(studio: Studio) -> None:
    call = studio.call(Plays())
    studio.rooms.faults["participants", call.room] += [Fault.AWAY] * 3
    await call.live()

    assert (await call.status()).attempt == 1
    await _finished(call)


@beside_the_others
async def test_a_dispatch_that_livekit_will_never_take_is_not_repeated(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["dispatch", call.room] += [Fault.REFUSED] * 5
    await call.start()

    closed = await call.closed()

    assert studio.rooms.count("dispatch", call.room) == 1
    assert closed.ended == ("agent_failed", "agent_failed")
    assert closed.status.reason == "LiveKit refuses"


@beside_the_others
async def test_a_ghost_of_an_earlier_attempt_is_not_taken_for_the_agent(studio: Studio) -> None:
    call = studio.call(NEVER_COMES, join_timeout=1, join_attempts=1)
    await _room_is_there(call)
    studio.rooms.join(call.room, "agent-0", "agent", {"everline.attempt": "0"})
    studio.rooms.join(call.room, "somebody", "standard", {})
    await call.start()

    closed = await call.closed()

    assert closed.ended == ("agent_never_joined", "agent_never_joined")
    assert in_order(
        closed.told, "seen at http://livekit.test: agent-0 (agent), somebody (standard)"
    )
    assert in_order(closed.told, "removed agent-0")


@beside_the_others
async def test_a_caller_whose_webhook_was_lost_is_seen_with_the_agent(studio: Studio) -> None:
    call = studio.call(Plays(appears=0.5))
    await _room_is_there(call)
    studio.rooms.join(call.room, "caller", "standard", {})
    await call.start()

    status = await call.until("joined", lambda status: status.joins == 1)

    assert status.caller_present
    await _finished(call)
