"""A real call as a customer's receiver is told of it."""

from datetime import datetime

from domain.sessions.session import Outcome
from domain.webhooks.events import EventType, event_id
from tests.fakes.webhook_receiver import Received, webhook_receiver
from tests.harness.rig import Rig
from tests.waiting import eventually

STORY = [
    EventType.SESSION_STARTED,
    EventType.SESSION_AGENT_JOINED,
    EventType.TRANSCRIPT_READY,
    EventType.SUMMARY_READY,
    EventType.SESSION_ENDED,
]


async def test_a_call_is_told_in_order_with_the_right_ids(rig: Rig) -> None:
    http = rig.client.http
    async with webhook_receiver() as receiver:
        made = await http.post("/v1/webhooks", json={"url": f"{receiver.url}/calls"})
        assert made.status_code == 201, made.text
        secret = made.json()["secret"]
        rig.ledger.secrets.add(secret)
        try:
            async with rig.call() as call:
                key = call.started.key
            closed = await rig.client.closed(key.session_id)
            assert closed.outcome is Outcome.COMPLETED

            def came() -> list[Received]:
                # Calls of other tests may end meanwhile.
                word = f'"session_id":"{key.session_id}"'.encode()
                return [request for request in receiver.requests if word in request.body]

            def kinds() -> set[str]:
                # One whose answer was late is sent again.
                return {request.event_id for request in came()}

            await eventually(lambda: len(kinds()) >= len(STORY), 60, "all events of the call")
            told = {request.event_id: request.verified(secret) for request in came()}
        finally:
            gone = await http.delete(made.headers["location"])
            assert gone.status_code == 204
    in_order = sorted(told.values(), key=lambda event: datetime.fromisoformat(event["timestamp"]))
    assert [event["type"] for event in in_order] == [kind.value for kind in STORY]
    assert set(told) == {event_id(key, kind) for kind in STORY}
    ended = in_order[-1]["data"]
    assert (ended["outcome"], ended["end_reason"]) == ("completed", "caller_left")
    assert ended["room_name"] == call.started.room
