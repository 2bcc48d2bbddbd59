"""An agent of somebody else: plain LiveKit code without a line of Everline's."""

from pathlib import Path

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import SessionState
from tests.harness.call import BOOK
from tests.harness.plain_agents import plain_agents
from tests.harness.rig import Rig


async def test_a_call_through_a_plain_agent_ends_with_a_transcript_of_both_sides(
    rig: Rig, tmp_path: Path
) -> None:
    async with plain_agents(rig, tmp_path):
        # On a busy machine its first job may take long to begin.
        patience = {"report_grace": 3, "join_timeout": 40}
        started = await rig.client.start(limits=patience)
        async with rig.joined(started) as call:
            live = await rig.client.until(call.session_id, 90, state=SessionState.LIVE)
            assert live.foreign_agent
            await call.until_present()
            await call.answer(0, "help you")
            await call.say(BOOK)
            # What was heard is there while the call goes on, not only at its end.
            await rig.client.until_turns(call.session_id, 3)
            assert len(call.agents) == 1
        closed = await rig.client.closed(started.key.session_id)
    assert closed.end_reason is EndReason.CALLER_LEFT
    assert (closed.joins, closed.caller_present) == (1, False)
    transcript = await rig.client.transcript(started.key.session_id)
    assert [turn.role.value for turn in transcript.turns[:3]] == ["assistant", "user", "assistant"]
    assert transcript.said("user")[0]
    assert transcript.header is not None
    assert transcript.header.turn_count == len(transcript.turns)
    assert not transcript.header.complete, "no report came"
    assert started.room not in await rig.rooms.names()
