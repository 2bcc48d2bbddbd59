"""A whole call with a realtime model, which a plain `voice` asks for."""

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from domain.transcripts.summary import SummaryStatus
from tests.agent.engines.realtime.seen import seen
from tests.fakes.realtime import Exchange
from tests.harness.call import BOOK
from tests.harness.rig import Rig
from tests.stack.models.lines import SPEECH_FOLDER

GREETING = "Welcome to the Blue Fox."
HEARD = "I would like to book a table for four."
ANSWER = "For which day would you like it?"


async def test_a_bare_voice_is_a_realtime_call(rig: Rig) -> None:
    rig.realtime.reset()
    rig.realtime.script = [Exchange(heard=HEARD, answer=ANSWER)]
    start = {"who": "ai", "greeting": GREETING}
    async with rig.call(voice="alloy", agent_config={"conversation_start": start}) as call:
        assert call.started.answer["agent_joined"] is True
        await call.answer(0, GREETING)
        await call.caller.play(SPEECH_FOLDER / BOOK.file)
        await call.answer(1, ANSWER)
        assert call.caller.heard.speech_seconds() > 0.5
        assert len(call.agents) == 1
        await rig.client.until_turns(call.session_id, 3)
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
    assert (closed.dispatches, closed.joins, closed.attempt) == (1, 1, 1)
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.said("assistant")[:2] == [GREETING, ANSWER]
    assert transcript.said("user")[0] == HEARD
    summary = await rig.client.summary(call.session_id)
    assert summary.status is SummaryStatus.READY
    told = seen("openai", rig.realtime.latest)
    assert (told.model, told.voice) == ("gpt-realtime", "alloy")
    assert rig.realtime.latest.ear.seconds > 0.5
