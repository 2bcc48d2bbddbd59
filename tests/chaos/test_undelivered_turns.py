"""MongoDB is paused and the agent killed: the next agent knows what nobody could store yet."""

import pytest

from domain.sessions.session import Outcome, SessionState
from tests.chaos.test_outages_are_no_deaths import frozen
from tests.harness.rig import Rig

GREETING = "Welcome to the Blue Fox, how can I help you?"


@pytest.mark.chaos
async def test_the_next_agent_knows_turns_that_wait_in_the_spool(rig: Rig) -> None:
    start = {"who": "ai", "greeting": GREETING}
    limits = {"ready_timeout": 60, "caller_return": 60}
    async with rig.call(agent_config={"conversation_start": start}, limits=limits) as call:
        await call.answer(0, "Blue Fox")
        async with frozen(rig, "mongodb"):
            asked = call.caller.heard.now()
            await call.type("A table for two, please.", expect="table for two")
            # An answer is a turn only when it has been heard to its end.
            await call.caller.wait_until_agent_spoke(asked, within=60)
            (await rig.job(call.key)).kill()
            await rig.client.until(call.session_id, 60, attempt=2)
        await rig.client.until(call.session_id, 90, joins=2, state=SessionState.LIVE)
        await call.type("My name is Carl.", expect="Carl", also="table for two")
        await rig.client.end(call.session_id)
        closed = await rig.client.closed(call.session_id)
    assert closed.outcome is Outcome.COMPLETED
    transcript = await rig.client.transcript(call.session_id)
    said = transcript.said("assistant")
    assert said.count(GREETING) == 1
    assert len(said) == len(set(said)), "nothing is said twice"
    assert len(transcript.said("user")) == 2
