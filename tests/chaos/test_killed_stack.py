"""A power cut: everything is killed at once, and `everline up` continues the open sessions."""

from domain.session import EndReason, Outcome
from stack.local import LocalStack
from tests.harness.rig import Rig


async def test_open_sessions_come_to_an_honest_end_after_everything_was_killed(rig: Rig) -> None:
    """LiveKit has forgotten its rooms: a call in progress is lost, one that had just begun is not.

    Of the two calls one is asked to end, as its client does when it comes back.
    """
    unattended = await rig.client.start(wait="joined", limits={"report_grace": 2})
    rig.know(unattended.key)
    async with rig.call(limits={"report_grace": 2}) as call:
        await call.type("A table for eight, please.", expect="table for eight")
        before = await rig.client.until_turns(call.session_id, 2)
        just_begun = await rig.client.start(wait="accepted", limits={"caller_wait": 1})
        rig.know(just_begun.key)
        await rig.stack.kill_everything()
    await LocalStack.start(rig.stack.home.root, settings=rig.settings)
    assert await rig.client.end(call.session_id) is True
    closed = await rig.client.closed(call.session_id, 60)
    assert (closed.outcome, closed.end_reason) == (
        Outcome.REPORT_MISSING,
        EndReason.END_REQUESTED,
    )
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.turns == before.turns
    await rig.histories.reap()
    lost = await rig.client.closed(unattended.key.session_id, 60)
    assert (lost.outcome, lost.end_reason) == (Outcome.ROOM_LOST, EndReason.ROOM_DELETED)
    begun = await rig.client.closed(just_begun.key.session_id, 90)
    assert begun.outcome in (Outcome.CALLER_NEVER_JOINED, Outcome.ROOM_LOST)
