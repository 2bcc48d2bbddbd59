"""`kill -9` of the worker that hears a foreign agent: another listener takes its place."""

from pathlib import Path

import pytest

from domain.transcripts.listening import listener_identity
from tests.harness.call import BOOK
from tests.harness.plain_agents import plain_agents
from tests.harness.rig import Rig
from tests.waiting import eventually


@pytest.mark.chaos
async def test_a_foreign_agent_is_heard_on_after_its_listener_was_killed(
    rig: Rig, tmp_path: Path
) -> None:
    async with plain_agents(rig, tmp_path):
        started = await rig.client.start(limits={"report_grace": 3}, wait="joined")
        room, session_id = started.room, started.key.session_id

        async def listener() -> str:
            present = await rig.rooms.livekit.participants(room)
            sids = [one.sid for one in present if one.identity == listener_identity(1)]
            return sids[0] if sids else ""

        async with rig.joined(started) as call:
            await call.answer(0, "help you")
            before = await rig.client.until_turns(session_id, 1)
            killed_one = await listener()
            assert killed_one
            await rig.stack.wait_restarted("worker", rig.stack.kill("worker"))

            async def another() -> bool:
                return await listener() not in ("", killed_one)

            await eventually(another, 90, "another listener is in the room")
            await call.say(BOOK)
            await rig.client.until_turns(session_id, len(before.turns) + 2)
        closed = await rig.client.closed(session_id)
    assert (closed.dispatches, closed.joins) == (1, 1), closed.timeline
    transcript = await rig.client.transcript(session_id)
    assert transcript.turns[: len(before.turns)] == before.turns
    assert [turn.role.value for turn in transcript.turns[:3]] == ["assistant", "user", "assistant"]
    ids = [turn.item_id for turn in transcript.turns]
    assert len(ids) == len(set(ids)), "nothing was written down twice"
