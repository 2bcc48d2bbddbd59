"""Agents that go away in the middle of a call, and who takes over."""

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import AgentLost, ReportReceived, agent_lost
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.rooms import Fault
from tests.workflows.calls import Call, Studio
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others, takes_long
from workflows.session import SessionWorkflow

MUTE = Plays(report_when_told=False, report_when_removed=False)


async def _lose_agent(call: Call, attempt: int) -> None:
    loss = AgentLost(event_id=call.event_id(), attempt=attempt, reason="no sign of life for 6 s")
    await call.handle.signal(SessionWorkflow.agent_lost, loss)


async def _job_of(call: Call) -> str:
    """The job that has claimed the current attempt, as the crew names its jobs."""
    return f"AJ_{(await call.status()).agent_identity}"


@beside_the_others
async def test_a_lost_agent_is_replaced_in_the_same_room(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    lost = (await call.status()).agent_identity
    await _lose_agent(call, 1)
    status = await call.until("replaced", lambda status: status.joins == 2)
    agents = call.agents()

    await call.crew.report(2, ReportEnd.AGENT_ENDED)
    closed = await call.closed()

    assert agents == [status.agent_identity], "the ghost is gone"
    assert in_order(
        closed.told,
        "the agent of attempt 1 is lost: no sign of life for 6 s",
        f"removed {lost}",
        "attempt 2: dispatched",
        "attempt 2: agent-2",
    ), closed.told
    assert closed.ended == ("completed", "agent_ended")
    assert call.dispatched_attempts() == [1, 2]
    assert studio.rooms.count("create", call.room) == 1


@beside_the_others
async def test_the_report_of_a_lost_agent_is_kept_and_steers_nothing(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    await _lose_agent(call, 1)
    await call.until("replaced", lambda status: status.joins == 2)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    kept = await call.until(
        "the stale report is noted",
        lambda status: any("attempt 1 is stored" in entry.text for entry in status.timeline),
    )
    await call.crew.report(2, ReportEnd.SILENCE)

    closed = await call.closed()

    assert kept.state == "live"
    assert closed.ended == ("completed", "silence")


@beside_the_others
async def test_an_agent_that_leaves_without_a_report_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    await call.agent_leaves()

    status = await call.until("replaced", lambda status: status.joins == 2)

    assert any("it left the room (CONNECTION_TIMEOUT)" in e.text for e in status.timeline)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_agent_that_makes_its_connection_again_is_not_lost(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    await call.agent_reconnects()

    status = await call.until(
        "looked for", lambda s: any("is in the room again" in e.text for e in s.timeline)
    )

    assert (status.state, status.joins, status.agent_joined) == ("live", 1, True)
    await call.agent_leaves()
    await call.until("replaced", lambda status: status.joins == 2)
    await call.end()
    assert (await call.closed()).status.dispatches == 2


@beside_the_others
async def test_an_agent_is_not_lost_because_livekit_does_not_answer(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays(), caller_return=60).live()
    studio.rooms.faults["participants", call.room] += [Fault.REFUSED, Fault.REFUSED]
    await call.agent_reconnects()

    status = await call.until(
        "looked for", lambda s: any("is in the room again" in e.text for e in s.timeline)
    )

    assert (status.state, status.joins, status.dispatches) == ("live", 1, 1)
    assert not studio.rooms.faults["participants", call.room]
    studio.rooms.faults["participants", call.room].append(Fault.REFUSED)
    await call.agent_leaves()
    await call.until("replaced", lambda status: status.joins == 2)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_agent_that_leaves_and_then_reports_has_finished(studio: Studio) -> None:
    call = await studio.call(MUTE, lost_report_grace=60).live()
    await call.agent_leaves("CLIENT_INITIATED")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_a_report_that_abandons_the_caller_means_a_lost_agent(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    await call.crew.report(1, ReportEnd.SHUTDOWN)
    await call.until("replaced", lambda status: status.joins == 2)
    await call.crew.report(2, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert in_order(closed.told, "attempt 1 is lost: it ended with `shutdown`")
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_the_report_of_a_replaced_agent_is_not_its_successors(studio: Studio) -> None:
    external = Plays(foreign=True, report_when_told=False, report_when_removed=False)
    call = await studio.call(external).live()
    await call.crew.report(1, ReportEnd.ERROR)
    status = await call.until("replaced", lambda status: status.joins == 2)
    await call.crew.report(2, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert not status.report_received, "a report without a token would be refused"
    assert closed.status.report_received
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_agents_are_replaced_only_so_often(studio: Studio) -> None:
    call = await studio.call(MUTE, max_replacements=1).live()
    await _lose_agent(call, 1)
    await call.until("replaced", lambda status: status.joins == 2)
    await _lose_agent(call, 2)

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "agent_lost")
    assert "the agent of attempt 2 is lost" in str(closed.status.reason)
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_an_agent_that_cannot_be_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES, join_timeout=1).live()
    await _lose_agent(call, 1)

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "agent_lost")
    assert call.dispatched_attempts() == [1, 2, 3], "two attempts for the replacement"


@beside_the_others
async def test_nobody_is_replaced_while_the_caller_is_away(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays(), caller_return=600).live()
    await call.caller_leaves()
    await _lose_agent(call, 1)
    waiting = await call.until("the caller is away", lambda s: s.waiting_for == "caller_return")
    assert waiting.dispatches == 1
    await call.caller_joins("PA_back")

    status = await call.until("replaced", lambda status: status.joins == 2)

    assert status.caller_present
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
@takes_long
async def test_the_caller_left_and_the_agent_is_lost(studio: Studio) -> None:
    call = await studio.call(MUTE, caller_return=10).live()
    await call.caller_leaves()
    await _lose_agent(call, 1)

    closed = await call.closed()

    assert closed.ended == ("report_missing", "caller_left")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_an_agent_that_says_it_cannot_go_on_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    await call.crew.lines.failed(call.failure(1, "the model is gone"))

    status = await call.until("replaced", lambda status: status.joins == 2)

    assert in_order([e.text for e in status.timeline], "attempt 1 is lost: the model is gone")
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_a_job_without_the_claim_may_fail(studio: Studio) -> None:
    call = await studio.call().live()
    failure = call.failure(1, "no such model", retryable=False)
    await call.tell(failure.model_copy(update={"job_id": "AJ_of_a_second_dispatch"}))
    noted = await call.until(
        "noted", lambda s: any("AJ_of_a_second_dispatch, which" in e.text for e in s.timeline)
    )

    assert (noted.state, noted.joins) == ("live", 1)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
@takes_long
async def test_the_time_of_a_call_runs_while_its_agent_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES, max_duration=15).live()
    await _lose_agent(call, 1)

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "max_duration")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_the_caller_leaves_while_the_agent_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES).live()
    await _lose_agent(call, 1)
    await call.until("recovering", lambda s: s.dispatches == 2 and s.state == "recovering")
    await call.caller_leaves()

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "caller_left")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_the_end_is_requested_while_the_agent_is_replaced(studio: Studio) -> None:
    call = await studio.call(MUTE, NEVER_COMES).live()
    await _lose_agent(call, 1)
    await call.until("recovering", lambda s: s.dispatches == 2 and s.state == "recovering")
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "end_requested")
    assert closed.status.joins == 1


@beside_the_others
async def test_a_loss_or_failure_of_another_attempt_steers_nothing(studio: Studio) -> None:
    call = await studio.call().live()
    await _lose_agent(call, 7)
    await call.tell(call.failure(7, "not mine"))
    await call.tell(
        ReportReceived(
            event_id="r7",
            attempt=7,
            digest="d",
            end_reason=ReportEnd.AGENT_ENDED,
            turn_count=0,
            stored=True,
        )
    )
    status = await call.until("noted", lambda s: any("attempt 7" in e.text for e in s.timeline))
    await call.end()

    closed = await call.closed()

    assert status.state == "live"
    assert closed.ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_a_loss_that_is_told_by_two_replaces_once(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays()).live()
    loss = agent_lost(1, await _job_of(call), "its process ended with code -9")
    await call.tell(loss)
    await call.until("replaced", lambda status: status.joins == 2)
    await call.tell(loss)
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_the_loss_of_a_job_that_did_not_get_the_claim_steers_nothing(studio: Studio) -> None:
    call = await studio.call().live()
    await call.tell(agent_lost(1, "a-job-that-was-refused", "its process ended with code -9"))
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_an_agent_that_has_reported_may_die(studio: Studio) -> None:
    call = await studio.call(MUTE).live()
    job = await _job_of(call)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.tell(agent_lost(1, job, "its process ended with code -11"))

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert call.dispatched_attempts() == [1]


@beside_the_others
async def test_an_agent_that_dies_before_it_is_ready_is_not_waited_for(studio: Studio) -> None:
    never_ready = Plays(claims=None)
    call = studio.call(never_ready, Plays(), ready_timeout=300)
    await call.start()
    await call.until("in the room", lambda status: status.waiting_for == "agent_ready")
    await call.tell(agent_lost(1, "AJ_1", "its process ended with code -9"))

    await call.until("the next one is in", lambda status: status.joins == 1)
    await call.end()
    closed = await call.closed()

    assert in_order(
        closed.told, "attempt 1 failed: its process ended with code -9", "attempt 2: dispatched"
    ), closed.told
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_an_agent_that_dies_before_it_is_seen_is_not_waited_for(studio: Studio) -> None:
    call = studio.call(NEVER_COMES, Plays())
    await call.start()
    await call.until("dispatched", lambda status: status.waiting_for == "agent_join")
    await call.tell(agent_lost(1, "AJ_1", "its agent server was silent for 6 s"))

    await call.until("the next one is in", lambda status: status.joins == 1)
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_the_next_agent_is_told_of_an_unanswered_caller(studio: Studio) -> None:
    call = await studio.call(MUTE, MUTE, NEVER_COMES, Plays(), join_timeout=1).live()
    await call.tell(agent_lost(1, await _job_of(call), "its process was killed"))
    await call.until("replaced", lambda status: status.joins == 2)
    await call.tell(agent_lost(2, await _job_of(call), "its process was killed", unanswered=True))
    await call.until("replaced again", lambda status: status.joins == 3)
    await call.end()
    await call.closed()

    assert call.unanswered() == [False, False, True, True]


@beside_the_others
async def test_a_finished_exchange_stays_finished_however_long_no_agent_comes(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, NEVER_COMES, Plays(), Plays(), join_timeout=1).live()
    await call.tell(agent_lost(1, await _job_of(call), "its process was killed"))
    await call.until("replaced", lambda status: status.joins == 2)
    await call.agent_leaves()
    await call.until("replaced again", lambda status: status.joins == 3)
    await call.end()
    await call.closed()

    assert call.unanswered() == [False, False, False, False]
