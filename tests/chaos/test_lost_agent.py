"""`kill -9` of the process that talks: the caller goes on with another agent in the same room."""

import signal

import pytest

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.call import BOOK, NAME, Call
from tests.harness.rig import Rig
from tests.waiting import eventually

GREETING = "Welcome to the Blue Fox, how can I help you?"
NOTICED_SECONDS = 90
"""Longest wait for another agent, with a server that has to start."""


async def test_a_killed_agent_is_replaced_and_the_conversation_goes_on(rig: Rig) -> None:
    start = {"who": "ai", "greeting": GREETING}
    async with rig.call(agent_config={"conversation_start": start}) as call:
        await call.answer(0, "Blue Fox")
        await call.say(BOOK)
        before = await rig.client.until_turns(call.session_id, 3)
        [first] = await rig.rooms.agents(call.started.room)
        (await rig.job(call.key)).send_signal(signal.SIGKILL)
        await _another_agent_is_in(rig, call, 2)
        assert [one.identity for one in await rig.rooms.agents(call.started.room)] != [
            first.identity
        ]
        await _the_old_one_is_refused(rig, call)
        answer = await call.say(NAME)
        assert "table for four" in answer, "the new agent knows what was said to the first"
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
    assert (closed.joins, closed.attempt) == (2, 2)
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.turns[: len(before.turns)] == before.turns
    attempts = [turn.attempt for turn in transcript.turns]
    assert attempts == sorted(attempts)
    assert set(attempts) == {1, 2}
    assert transcript.said("assistant").count(GREETING) == 1, "nobody is greeted twice"
    assert transcript.header is not None
    assert transcript.header.complete


async def _another_agent_is_in(rig: Rig, call: Call, attempt: int) -> None:
    await rig.client.until(
        call.session_id, NOTICED_SECONDS, attempt=attempt, state=SessionState.LIVE
    )
    await _nobody_else_is_in(rig, call)


async def _nobody_else_is_in(rig: Rig, call: Call) -> None:
    async def alone() -> bool:
        return len(await rig.rooms.agents(call.started.room)) == 1

    await eventually(alone, 60, "the ghost of the dead agent is gone")


async def _the_old_one_is_refused(rig: Rig, call: Call) -> None:
    claim = await rig.agent(call.key, attempt=1).ready(1, "a-job-of-the-past")
    assert claim.status_code == 409
    second = await rig.agent(call.key, attempt=2).ready(2, "another-job-for-the-same-attempt")
    assert second.status_code == 409


@pytest.mark.chaos
async def test_agents_that_keep_dying_end_the_call_honestly(rig: Rig) -> None:
    async with rig.call(limits={"max_replacements": 1}) as call:
        for attempt in (1, 2):
            (await rig.job(call.key, attempt)).send_signal(signal.SIGKILL)
            if attempt == 1:
                await _another_agent_is_in(rig, call, 2)
        closed = await rig.client.closed(call.session_id, NOTICED_SECONDS)
    assert (closed.outcome, closed.end_reason) == (Outcome.AGENT_LOST, EndReason.AGENT_LOST)


@pytest.mark.chaos
async def test_a_killed_agent_server_comes_back_and_takes_the_call_over(rig: Rig) -> None:
    async with rig.call() as call:
        await call.type("A table for nine, please.", expect="table for nine")
        killed = rig.stack.kill("agent")
        await rig.stack.wait_restarted("agent", killed)
        # An attempt that came before the server was back is dropped by LiveKit.
        status = await rig.client.until(
            call.session_id, NOTICED_SECONDS, joins=2, state=SessionState.LIVE
        )
        await _nobody_else_is_in(rig, call)
        answer = await call.type("My name is Iris.", expect="Iris", also="table for nine")
        assert "table for nine" in answer
    closed = await rig.client.closed(call.session_id)
    assert closed.outcome is Outcome.COMPLETED
    transcript = await rig.client.transcript(call.session_id)
    assert {turn.attempt for turn in transcript.turns} == {1, status.attempt}
