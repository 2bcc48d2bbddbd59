"""Every way in which a call ends, except those in which an agent is lost (`tests/chaos`)."""

import asyncio
import signal

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.call import NAME
from tests.harness.rig import Rig
from tests.waiting import eventually


async def test_a_caller_who_never_comes(rig: Rig) -> None:
    started = await rig.client.start(limits={"caller_wait": 1})
    closed = await rig.client.closed(started.key.session_id)
    assert closed.outcome is Outcome.CALLER_NEVER_JOINED
    assert closed.end_reason is EndReason.CALLER_NEVER_JOINED
    assert closed.report_received, "the agent was told to finish, and has reported"


async def test_the_maximum_duration(rig: Rig) -> None:
    async with rig.call(limits={"max_duration": 12}) as call:
        closed = await rig.client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.MAX_DURATION)
        assert closed.report_received


async def test_an_end_that_is_requested_while_the_caller_stays(rig: Rig) -> None:
    async with rig.call() as call:
        assert await rig.client.end(call.session_id) is True
        closed = await rig.client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)
        assert closed.report_received
        await asyncio.wait_for(call.caller.disconnected.wait(), 60)
        await eventually(lambda: bool(rig.proxy.reports(call.session_id)), what="the report")
        reasons = {reported["end_reason"] for reported in rig.proxy.reports(call.session_id)}
        assert reasons == {"end_requested"}, "the agent knows why it finished"


async def test_a_report_that_never_comes_costs_no_turn_and_may_come_after_the_close(
    rig: Rig,
) -> None:
    """The agent hangs: stopped by the operating system, and released after the close."""
    async with rig.call(limits={"report_grace": 3}) as call:
        await call.type("I would like a table for two.", expect="table for two")
        before = await rig.client.until_turns(call.session_id, 2)
        job = await rig.job(call.key)
        job.send_signal(signal.SIGSTOP)
        try:
            await rig.client.end(call.session_id)
            closed = await rig.client.closed(call.session_id)
        finally:
            job.send_signal(signal.SIGCONT)
    assert (closed.outcome, closed.end_reason) == (
        Outcome.REPORT_MISSING,
        EndReason.END_REQUESTED,
    )
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.turns == before.turns

    async def complete() -> bool:
        header = (await rig.client.transcript(call.session_id)).header
        return header is not None and header.complete

    await eventually(complete, what="the report of the released agent is merged")
    assert (await rig.client.status(call.session_id)).outcome is Outcome.REPORT_MISSING


async def test_a_report_that_is_cut_off_waits_in_the_spool(rig: Rig) -> None:
    async with rig.call(limits={"report_grace": 3}) as call:
        rig.proxy.cut.add(call.session_id)
        try:
            await rig.client.end(call.session_id)
            closed = await rig.client.closed(call.session_id)
        finally:
            rig.proxy.cut.discard(call.session_id)
    assert closed.outcome is Outcome.REPORT_MISSING
    await eventually(lambda: bool(rig.proxy.reports(call.session_id)), what="the spool is drained")
    header = (await rig.client.transcript(call.session_id)).header
    assert header is not None
    assert header.complete


async def test_an_agent_that_cannot_start_says_why(rig: Rig) -> None:
    # In the catalog, and nothing that the agent worker of this stack can reach.
    config = {"engine": {"stt": "deepgram/nova-3"}}
    started = await rig.client.start(agent_config=config)
    closed = await rig.client.closed(started.key.session_id)
    assert (closed.outcome, closed.end_reason) == (
        Outcome.AGENT_FAILED,
        EndReason.AGENT_FAILED,
    )
    assert "engine.stt" in (closed.reason or "")
    assert "deepgram" in (closed.reason or "")
    assert closed.attempt == 1, "another attempt would not help"


async def test_a_cancelled_workflow_still_winds_down(rig: Rig) -> None:
    async with rig.call() as call:
        await rig.histories.session(call.key).cancel()
        closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.CANCELLED, EndReason.CANCELLED)
    assert closed.report_received


async def test_a_page_reload_is_not_an_end(rig: Rig) -> None:
    async with rig.call(limits={"caller_return": 20, "caller_hangup_return": 5}) as call:
        await call.type("A table for four, please.", expect="table for four")
        await call.leave()
        await rig.client.until(call.session_id, 60, caller_present=False)
        await call.rejoin()
        await rig.client.until(call.session_id, 60, caller_present=True)
        answer = await call.say(NAME)
        assert "table for four" in answer, "the same agent hears the new connection"
        status = await rig.client.status(call.session_id)
        assert (status.state, status.attempt, status.joins) == (SessionState.LIVE, 1, 1)
    closed = await rig.client.closed(call.session_id)
    assert closed.end_reason is EndReason.CALLER_LEFT


async def test_a_room_that_is_deleted_under_a_call_is_lost(rig: Rig) -> None:
    async with rig.call() as call:
        await rig.rooms.livekit.delete(call.started.room)
        closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.ROOM_LOST, EndReason.ROOM_DELETED)
    # The agent is not in a room any more, and its report comes all the same.
    await eventually(lambda: bool(rig.proxy.reports(call.session_id)), what="the report")
    assert rig.proxy.reports(call.session_id)[0]["end_reason"] == "room_deleted"
