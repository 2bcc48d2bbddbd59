"""A line that was spoken to an agent as it died is asked for again; in peace nothing is said."""

from pathlib import Path

from domain.sessions.session import Outcome, SessionState
from tests.harness.call import BOOK, NAME, Call
from tests.harness.rig import Rig
from tests.stack.models.lines import SPEECH_FOLDER

GREETING = "Welcome to the Blue Fox, how can I help you?"
SORRY = "Sorry, I lost you for a moment."
NUDGE = "Are you still there?"
CONFIG = {
    "conversation_start": {"who": "ai", "greeting": GREETING},
    "recovery": {"text": SORRY},
    "silence": {"nudge_after": 5, "nudges": 20, "nudge_text": NUDGE},
}


async def test_a_line_spoken_to_a_dying_agent_is_asked_for_again(rig: Rig) -> None:
    async with rig.call(agent_config=CONFIG) as call:
        await call.answer(0, "Blue Fox")
        await call.say(BOOK)
        await rig.client.until_turns(call.session_id, 3)

        # The exchange is finished, and then the agent is replaced on request.
        (await rig.job(call.key)).kill()
        await _only_nudged(rig, call, joins=2)
        response = await rig.client.http.post(f"/v1/sessions/{call.session_id}/redispatch")
        assert response.is_success, response.text
        await _only_nudged(rig, call, joins=3)

        job = await rig.job(call.key, attempt=3)
        known = len(call.caller.subtitles.lines)
        await call.caller.play(Path(SPEECH_FOLDER) / NAME.file)
        job.kill()
        assert await call.answer(known, SORRY) == SORRY
        answer = await call.say(NAME)
        assert "table for four" in answer, "the new agent knows what was said before"
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.joins) == (Outcome.COMPLETED, 4)
    transcript = await rig.client.transcript(call.session_id)
    said = transcript.said("assistant")
    assert (said.count(GREETING), said.count(SORRY)) == (1, 1)


async def _only_nudged(rig: Rig, call: Call, joins: int) -> None:
    """The next agent waits for the caller, until it asks whether they are there."""
    known = len(call.caller.subtitles.lines)
    await rig.client.until(call.session_id, 90, joins=joins, state=SessionState.LIVE)
    assert await call.answer(known, NUDGE) == NUDGE
