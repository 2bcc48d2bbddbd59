"""A whole call, heard on both sides, from its start to the room's deletion."""

import asyncio

import httpx

from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from domain.transcripts.summary import SummaryStatus
from tests.harness.call import BOOK, NAME
from tests.harness.client import ServerSentEvent
from tests.harness.ledger import AcceptedStart
from tests.harness.rig import Rig

GREETING = "Welcome to the Blue Fox, how can I help you?"


async def test_a_call_is_heard_reported_summarised_and_its_room_deleted(rig: Rig) -> None:
    start = {"who": "ai", "greeting": GREETING}
    async with rig.call(agent_config={"conversation_start": start}) as call:
        assert call.started.status_code == 200
        assert call.started.answer["agent_joined"] is True
        stream = asyncio.create_task(_all_events(rig, call.session_id))
        await call.answer(0, "Blue Fox")
        await call.say(BOOK)
        answer = await call.say(NAME)
        assert "table for four" in answer
        assert len(call.agents) == 1
        await rig.client.until_turns(call.session_id, 5)
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
    assert closed.report_received
    assert (closed.dispatches, closed.joins, closed.attempt) == (1, 1, 1)
    transcript = await rig.client.transcript(call.session_id)
    assert [turn.role.value for turn in transcript.turns[:5]] == [
        *("assistant", "user", "assistant", "user", "assistant")
    ]
    assert transcript.said("assistant")[0] == GREETING
    assert "four" in transcript.said("user")[0]
    assert "Anna Miller" in transcript.said("user")[1]
    assert transcript.header is not None
    assert transcript.header.complete
    assert transcript.header.turn_count == len(transcript.turns)
    summary = await rig.client.summary(call.session_id)
    assert summary.status is SummaryStatus.READY
    assert "Miller" in (summary.text or "")
    assert call.started.room not in await rig.rooms.names()
    _check_events(await asyncio.wait_for(stream, 60), [turn.item_id for turn in transcript.turns])


async def _all_events(rig: Rig, session_id: str) -> list[ServerSentEvent]:
    return [event async for event in rig.client.events(session_id)]


def _check_events(events: list[ServerSentEvent], items: list[str]) -> None:
    """States and turns in order, each once, and `end` as the last."""
    assert events[-1].name == "end"
    assert len({event.id for event in events}) == len(events)
    states = [event.data["state"] for event in events if event.name == "state"]
    order = list(SessionState)
    assert states == sorted(states, key=lambda state: order.index(SessionState(state)))
    assert (states[0], states[-1]) == ("live", "closed")
    versions = [event.data["version"] for event in events if event.name == "state"]
    assert versions == sorted(versions)
    assert [event.data["item_id"] for event in events if event.name == "turn"] == items
    ended = next(at for at, event in enumerate(events) if event.data.get("state") == "ending")
    assert any(event.name == "turn" for event in events[:ended]), "turns come while they are said"


async def test_the_seed_routes_start_and_end_a_session(rig: Rig) -> None:
    http = rig.client.http
    request = {"userIdentity": "someone", "limits": {"report_grace": 30}}
    started = await http.post("/session", json=request, params={"wait": "joined"})
    assert started.status_code == 200
    body = started.json()
    key = SessionKey(rig.client.org, body["sessionId"])
    rig.ledger.starts.append(AcceptedStart(key, body["roomName"], None, ""))
    rig.know(key)
    assert body["agentDispatched"] is True
    assert body["livekitUrl"] == rig.stack.urls.livekit
    assert body["userToken"].count(".") == 2
    ended = await http.post("/session/end", json={"roomName": body["roomName"]})
    assert ended.json() == {"sessionId": body["sessionId"], "ended": True}
    closed = await rig.client.closed(body["sessionId"])
    assert (closed.outcome, closed.end_reason) == (
        Outcome.CALLER_NEVER_JOINED,
        EndReason.END_REQUESTED,
    )
    await rig.histories.session(key).result()
    again = await http.post("/session/end", json={"sessionId": body["sessionId"]})
    assert again.json() == {"sessionId": body["sessionId"], "ended": False}


async def test_a_closed_session_is_still_told(rig: Rig) -> None:
    started = await rig.client.start(limits={"caller_wait": 0.5})
    closed = await rig.client.closed(started.key.session_id)
    again = await rig.client.status(started.key.session_id)
    assert again == closed
    assert [entry.text for entry in again.timeline][:2] == [
        "room created",
        "attempt 1: dispatched to local-test",
    ]
    unknown = await rig.client.http.get("/v1/sessions/never-started")
    assert unknown.status_code == httpx.codes.NOT_FOUND
