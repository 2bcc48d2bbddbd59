"""LiveKit's webhooks are hints: forged, old, repeated and unordered ones do no harm."""

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.rig import Rig
from tests.harness.webhooks import VISITOR


async def test_only_genuine_and_fresh_events_reach_a_session(rig: Rig) -> None:
    started = await rig.client.start(wait="joined", user_identity=VISITOR)
    rig.know(started.key)
    session_id, hooks = started.key.session_id, rig.webhooks(started.key)
    before = await rig.client.status(session_id)
    finished = hooks.event("room_finished")
    assert (await hooks.send(finished, secret="x" * 40)).status_code == 401
    assert (await hooks.send_signed(finished, "")).status_code == 401
    assert (await hooks.send(hooks.event("room_finished", age=600))).status_code == 401
    joined = hooks.event("participant_joined", sid="PA_1")
    genuine = (await hooks.send(joined)).request.headers["Authorization"]
    assert (await hooks.send_signed(finished, genuine)).status_code == 401, "of another body"
    elsewhere = await hooks.send(hooks.event("room_finished", room="acme.elsewhere"))
    assert elsewhere.json() == {"forwarded": False}
    await rig.client.until(session_id, 60, caller_present=True)
    after = await rig.client.status(session_id)
    assert (before.state, after.state) == (SessionState.LIVE, SessionState.LIVE)
    assert len(after.timeline) == len(before.timeline) + 1, "one event of all these was taken"
    await rig.client.end(session_id)
    await rig.client.closed(session_id)


async def test_repeated_and_unordered_events_tell_the_same_story(rig: Rig) -> None:
    # The visitor is seen to be gone before the call is over.
    limits = {"caller_return": 15, "caller_hangup_return": 4}
    started = await rig.client.start(wait="joined", user_identity=VISITOR, limits=limits)
    rig.know(started.key)
    session_id, hooks = started.key.session_id, rig.webhooks(started.key)
    joined = hooks.event("participant_joined", sid="PA_1")
    left = hooks.event("participant_left", sid="PA_1")
    for event in (joined, joined):
        assert (await hooks.send(event)).json() == {"forwarded": True}
    await rig.client.until(session_id, 60, caller_present=True)
    for event in (
        *(left, joined, left),  # replayed
        hooks.event("participant_joined", sid="PA_1"),  # the same once more, under another id
        hooks.event("participant_left", sid="PA_2"),  # a second caller, the other way round
        hooks.event("participant_joined", sid="PA_2"),
    ):
        assert (await hooks.send(event)).is_success
    gone = await rig.client.until(session_id, 60, caller_present=False)
    assert gone.state is SessionState.LIVE
    texts = [entry.text for entry in gone.timeline if "visitor" in entry.text]
    assert texts == ["caller visitor is in the room", "caller visitor left the room"]
    closed = await rig.client.closed(session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
