"""A power cut: everything is killed at once, and `everline up` continues the open sessions."""

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from tests.harness.rig import Rig
from tests.local_stack import LocalStack


async def test_open_sessions_come_to_an_honest_end_after_everything_was_killed(rig: Rig) -> None:
    """LiveKit has forgotten its rooms, so calls in progress are lost; nothing that was said is.

    What had just begun goes on, or is found lost as well.
    """
    async with rig.call(limits={"report_grace": 2}) as call:
        await call.type("A table for eight, please.", expect="table for eight")
        before = await rig.client.until_turns(call.session_id, 2)
        just_begun = await rig.client.start(wait="accepted", limits={"caller_wait": 1})
        rig.know(just_begun.key)
        await rig.stack.kill_everything()
    await LocalStack.start(rig.stack.home.root, settings=rig.settings)
    await rig.histories.reap()
    lost = await rig.client.closed(call.session_id, 120)
    assert (lost.outcome, lost.end_reason) == (Outcome.ROOM_LOST, EndReason.ROOM_DELETED)
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.turns == before.turns
    begun = await rig.client.closed(just_begun.key.session_id, 150)
    assert begun.outcome in (Outcome.CALLER_NEVER_JOINED, Outcome.ROOM_LOST)
