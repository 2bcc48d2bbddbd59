"""Starting and ending a session, in the words of the two seed contracts."""

import asyncio
from dataclasses import replace

import httpx
import jwt
import pytest

from adapters.memory_agent_servers import MemoryAgentServers
from domain.sessions.end_reasons import ReportEnd
from tests.api.door import (
    LIVEKIT_SECRET,
    Door,
    at_last,
    is_problem,
    open_door,
    session_body,
    without_mongodb,
)
from tests.fakes.agent_servers import AgentServersThere
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.rooms import Fault
from tests.waiting import eventually


async def test_a_start_answers_with_exactly_the_seeds_fields(door: Door) -> None:
    call = door.studio.call()

    answer = await door.http.post("/session", json=session_body(call))

    assert answer.status_code == 200
    # What Everline adds to the seed's answer: what it thinks of the configuration.
    assert answer.json().keys() - {"warnings"} == {
        "userToken",
        "roomName",
        "sessionId",
        "livekitUrl",
        "agentDispatched",
        "agentConfig",
    }
    assert answer.json()["roomName"] == call.room
    assert answer.json()["sessionId"] == call.key.session_id
    assert answer.json()["livekitUrl"] == "wss://livekit.test"
    assert answer.json()["agentDispatched"] is True
    await call.end()
    await call.closed()


async def test_the_callers_token_opens_one_room_for_one_identity(door: Door) -> None:
    call = door.studio.call()
    answer = await door.http.post("/session", json=session_body(call))

    claims = jwt.decode(answer.json()["userToken"], LIVEKIT_SECRET, algorithms=["HS256"])

    assert claims["sub"] == "caller"
    assert claims["video"]["room"] == call.room
    assert claims["video"]["roomJoin"] is True
    assert not claims["video"].get("roomAdmin")
    assert not claims["video"].get("roomCreate")
    await call.end()
    await call.closed()


async def test_the_other_start_route_has_the_debug_documents_fields(door: Door) -> None:
    answer = await door.http.post("/v1/sessions/start", json={})
    body = answer.json()

    assert answer.status_code == 200
    assert {
        "session_id",
        "room_name",
        "livekit_url",
        "livekit_token",
        "model",
        "voice",
    } <= body.keys()
    assert body["model"] == "openai/gpt-4.1-mini"
    ended = await door.http.post(f"/v1/sessions/{body['session_id']}/end")
    assert ended.json() == {"session_id": body["session_id"], "ended": True}


async def test_secrets_of_the_configuration_come_back_masked(door: Door) -> None:
    call = door.studio.call()
    config = {
        "prompt": "Be kind.",
        "api_key": "canary-api-key",
        "avatar": {"enabled": False, "anam": {"apiKey": "canary-anam"}},
        "lyzr_tools": [{"name": "crm", "headers": {"Authorization": "canary-header"}}],
    }

    answer = await door.http.post("/session", json=session_body(call) | {"agentConfig": config})

    assert answer.status_code == 200, answer.text
    assert "canary" not in answer.text
    shown = answer.json()["agentConfig"]
    assert (shown["prompt"], shown["api_key"]) == ("Be kind.", "********")
    assert "canary-api-key" in door.studio.rooms.dispatched[call.room][0], "the agent gets it"
    await call.end()
    await call.closed()


async def test_accepted_answers_before_the_agent_is_dispatched(door: Door) -> None:
    call = door.studio.call()
    door.studio.rooms.away.add(call.room)

    answer = await door.http.post("/session", params={"wait": "accepted"}, json=session_body(call))

    assert answer.status_code == 202
    assert answer.json()["agentDispatched"] is False
    door.studio.rooms.away.discard(call.room)
    await call.until("joined all the same", lambda status: status.joins == 1)
    await call.end()
    await call.closed()


async def test_joined_answers_when_the_agent_is_proven(door: Door) -> None:
    call = door.studio.call(Plays(appears=0.3, claims=0.3))
    body = session_body(call) | {"userIdentity": "caller"}

    answer = await door.http.post(
        "/v1/sessions/start",
        params={"wait": "joined"},
        json={
            "user_identity": "caller",
            "session_id": body["sessionId"],
            "room_name": body["roomName"],
            "limits": body["limits"],
        },
    )

    assert answer.status_code == 200
    assert (answer.json()["agent_dispatched"], answer.json()["agent_joined"]) == (True, True)
    assert (await call.status()).joins == 1
    await call.end()
    await call.closed()


async def test_a_session_that_ends_while_a_start_waits_for_it(door: Door) -> None:
    call = door.studio.call(Plays(fails="no such voice", fails_for_good=True))

    answer = await door.http.post("/session", params={"wait": "joined"}, json=session_body(call))

    assert is_problem(answer, 503, "session_ended")
    assert "no such voice" in answer.json()["detail"]
    [fault] = answer.json()["errors"]
    assert "another sessionId or Idempotency-Key" in fault["cure"]
    await call.closed()


async def test_a_start_that_no_agent_joins_says_what_is_missing(door: Door) -> None:
    deps = replace(door.deps, agent_servers=MemoryAgentServers())
    async with open_door(door.studio, deps) as alone:
        for others, detail, cure in (
            (
                [],
                "no agent server named 'test-agent' has sent a heartbeat",
                "start an agent worker",
            ),
            (["another"], "agent servers are registered as 'another'", "set AGENT_NAME"),
        ):
            for name in others:
                beat = {"server_id": "s1", "agent_name": name, "max_jobs": 4}
                assert (await alone.heartbeat(beat)).is_success
            call = door.studio.call(NEVER_COMES, join_attempts=1, join_timeout=1)
            body = session_body(call)
            answer = await alone.http.post("/session", params={"wait": "joined"}, json=body)
            assert is_problem(answer, 503, "session_ended")
            assert detail in answer.json()["detail"]
            assert "at once" not in answer.json()["detail"]
            assert cure in answer.json()["errors"][0]["cure"]
            await call.closed()


async def test_a_start_without_an_agent_says_so_at_once_and_at_the_end(door: Door) -> None:
    missing = "no agent server named 'test-agent' has sent a heartbeat lately"
    async with open_door(door.studio, replace(door.deps, agent_servers=MemoryAgentServers())) as it:
        call = door.studio.call(NEVER_COMES, join_attempts=1, join_timeout=2)
        body = session_body(call)
        answer = await at_last(lambda: it.http.post("/session", json=body), late=202)
        assert answer.status_code == 200, answer.text
        warning = answer.json()["warnings"][-1]
        assert (warning["field"], warning["reason"]) == ("agents", missing)
        assert "start an agent worker" in warning["cure"]

        joining = await it.http.get(f"/v1/sessions/{call.key.session_id}")
        assert joining.json()["state"] in ("joining", "ending"), "a busy machine may be late"
        told = [entry["text"] for entry in joining.json()["timeline"]]
        assert any(missing in text and "start an agent worker" in text for text in told)

        closed = await call.closed()
        assert closed.ended == ("agent_never_joined", "agent_never_joined")
        assert missing in (closed.status.reason or "")
        assert "start an agent worker" in (closed.status.reason or "")


async def test_a_start_with_an_agent_is_not_warned_of_its_absence(door: Door) -> None:
    there = AgentServersThere(door.deps.agent_name)
    async with open_door(door.studio, replace(door.deps, agent_servers=there)) as it:
        call = door.studio.call(NEVER_COMES, join_attempts=1, join_timeout=1)
        answer = await at_last(lambda: it.http.post("/session", json=session_body(call)), late=202)
        assert "agents" not in [one["field"] for one in answer.json().get("warnings", [])]
        closed = await call.closed()
        assert "no agent within 1 s" in (closed.status.reason or ""), "what was seen instead"
        assert "heartbeat" not in (closed.status.reason or "")


async def test_an_agent_that_has_come_is_not_missed(door: Door) -> None:
    """An external agent sends no heartbeats."""
    async with open_door(door.studio, replace(door.deps, agent_servers=MemoryAgentServers())) as it:
        call = door.studio.call()
        body = session_body(call)
        answer = await at_last(
            lambda: it.http.post("/session", params={"wait": "joined"}, json=body), late=202
        )
        assert "agents" not in [one["field"] for one in answer.json().get("warnings", [])]
        await call.end()
        await call.closed()


async def test_a_room_name_that_belongs_to_another_session_uses_nothing_up(door: Door) -> None:
    first, second = await door.start(), door.studio.call()
    body = session_body(second)

    answer = await door.http.post("/session", json=body | {"roomName": first.request.room_name})

    assert is_problem(answer, 409, "room_name_taken")
    assert answer.json()["errors"][0]["field"] == "roomName"
    assert (await first.status()).state in ("joining", "live")
    missing = await door.http.get(f"/v1/sessions/{second.key.session_id}")
    assert is_problem(missing, 404, "not_found"), "nothing was started"
    told = await at_last(lambda: door.http.post("/session", json=body), late=202)
    assert told.status_code == 200, "the cure: the same id, and another room"
    for call in (first, second):
        await call.end()
        await call.closed()


async def test_a_room_that_is_seen_to_be_anothers_too_late(door: Door) -> None:
    first, second = await door.start(), door.studio.call()
    body = session_body(second) | {"roomName": first.request.room_name}
    door.studio.rooms.faults["list_rooms", first.room].append(Fault.AWAY)

    answer = await at_last(lambda: door.http.post("/session", json=body), late=202)

    assert is_problem(answer, 409, "room_name_taken")
    assert "another sessionId or Idempotency-Key" in answer.json()["errors"][0]["cure"]
    assert (await second.closed()).ended == ("failed", "room_name_taken")
    await first.end()
    await first.closed()


async def test_an_old_start_hears_of_its_own_session_not_of_the_rooms_next_owner(
    door: Door,
) -> None:
    old = await door.start()
    await old.end()
    await old.closed()
    owner = door.studio.call()
    body = session_body(owner) | {"roomName": old.request.room_name}
    assert (await at_last(lambda: door.http.post("/session", json=body), late=202)).is_success

    answer = await door.http.post("/session", json=session_body(old))

    assert is_problem(answer, 409, "conflict")
    assert "was started before" in answer.json()["detail"]
    await owner.end()
    await owner.closed()


async def test_livekits_name_of_a_room_means_the_same_room(door: Door) -> None:
    call = await door.live()

    ended = await door.http.post("/session/end", json={"roomName": call.room})

    assert ended.json() == {"sessionId": call.key.session_id, "ended": True}
    assert (await call.closed()).ended == ("completed", "end_requested")


async def test_the_same_start_again_is_the_same_session(door: Door) -> None:
    call = door.studio.call()
    body = session_body(call)

    first, second = await asyncio.gather(
        door.http.post("/session", json=body), door.http.post("/session", json=body)
    )
    third = await door.http.post("/session", json=body)

    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 200]
    assert first.json()["sessionId"] == second.json()["sessionId"] == third.json()["sessionId"]
    await call.until("joined", lambda status: status.joins == 1)
    assert call.dispatched_attempts() == [1]
    await call.end()
    await call.closed()
    again = await door.http.post("/session", json=body)
    assert is_problem(again, 409, "conflict"), "a closed session never runs again"


async def test_a_start_may_come_again_with_livekits_name_of_its_room(door: Door) -> None:
    call = await door.start()

    again = session_body(call) | {"roomName": call.room}
    answer = await at_last(lambda: door.http.post("/session", json=again), late=202)

    assert answer.status_code == 200, answer.text
    assert answer.json()["roomName"] == call.room
    await call.end()
    await call.closed()


async def test_another_request_under_the_same_id_is_refused(door: Door) -> None:
    call = await door.start()

    answer = await door.http.post("/session", json=session_body(call) | {"userIdentity": "eve"})

    assert is_problem(answer, 409, "idempotency_mismatch")
    await call.end()
    await call.closed()


async def test_a_start_that_comes_again_while_its_session_winds_down(door: Door) -> None:
    call = await door.live(Plays(report_when_told=False), report_grace=120)
    await call.end()
    await call.until("ending", lambda status: status.ended_at is not None)

    answer = await door.http.post("/session", json=session_body(call))

    assert is_problem(answer, 409, "conflict")
    assert "was started before and has ended" in answer.json()["detail"]
    await door.http.post(f"/v1/sessions/{call.key.session_id}/finalise")
    await call.closed()


async def test_an_idempotency_key_names_the_session(door: Door) -> None:
    key = {"Idempotency-Key": f"order 4711 / {door.studio.call().key.session_id}"}
    # Nobody comes, and it is to be there still when the same start comes again.
    body = {"userIdentity": "caller", "limits": {"join_attempts": 1, "join_timeout": 120}}

    first = await door.http.post("/session", json=body, headers=key)
    second = await door.http.post("/session", json=body, headers=key)
    other = await door.http.post("/session", json=body | {"userIdentity": "eve"}, headers=key)

    assert first.status_code == second.status_code == 200
    assert first.json()["sessionId"] == second.json()["sessionId"]
    assert is_problem(other, 409, "idempotency_mismatch")
    await door.http.post("/session/end", json={"sessionId": first.json()["sessionId"]})


@pytest.mark.parametrize(
    ("path", "given"), [("/session", "sessionId"), ("/v1/sessions/start", "session_id")]
)
async def test_a_key_beside_a_session_id_is_refused_not_ignored(
    door: Door, path: str, given: str
) -> None:
    """Else the same key with two ids would be two sessions."""
    call = door.studio.call()
    body = {"userIdentity": "caller"} if path == "/session" else {}
    answer = await door.http.post(
        path, json=body | {given: call.key.session_id}, headers={"Idempotency-Key": "order-4711"}
    )

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == "Idempotency-Key"
    assert "send one of them" in fault["cure"]
    assert (await door.http.get(f"/v1/sessions/{call.key.session_id}")).status_code == 404


async def test_an_idempotency_key_extends_once_and_by_nothing_else(door: Door) -> None:
    call = await door.live(max_duration=600)
    path, once = f"/v1/sessions/{call.key.session_id}/extend", {"Idempotency-Key": "order-1"}
    before = (await call.status()).deadline

    async def extend(seconds: float, headers: dict[str, str] = once) -> httpx.Response:
        return await at_last(
            lambda: door.http.post(path, json={"seconds": seconds}, headers=headers)
        )

    answers = [await extend(300), await extend(300.0)]
    other = await extend(301)
    further = await extend(301, {"Idempotency-Key": "order-2"})

    assert [answer.status_code for answer in (*answers, further)] == [200, 200, 200]
    assert answers[0].json()["deadline"] == answers[1].json()["deadline"]
    assert is_problem(other, 409, "idempotency_mismatch")
    [fault] = other.json()["errors"]
    assert (fault["field"], "another" in fault["cure"]) == ("Idempotency-Key", True)
    after = (await call.status()).deadline
    assert before
    assert after
    assert (after - before).total_seconds() == 601
    await call.end()
    await call.closed()
    assert is_problem(await extend(301), 409, "conflict"), "a closed session has no time left"


async def test_ending_keeps_the_room_until_the_report_came(door: Door) -> None:
    call = await door.live(Plays(report_when_told=False), report_grace=120)

    ended = await door.http.post("/session/end", json={"sessionId": call.key.session_id})
    await eventually(lambda: call.crew.told == ["end_requested"])

    assert ended.json() == {"sessionId": call.key.session_id, "ended": True}
    assert call.room in door.studio.rooms.rooms
    report = await door.http.post(
        "/session/observability",
        json={"attempt": 1, "end_reason": "end_requested", "turns": []},
        headers=door.as_agent(call.key),
    )
    assert report.json() == {"sessionId": call.key.session_id, "stored": True}
    closed = await call.closed()
    assert closed.ended == ("caller_never_joined", "end_requested")
    again = await door.http.post("/session/end", json={"sessionId": call.key.session_id})
    assert again.json() == {"sessionId": call.key.session_id, "ended": False}


async def test_what_does_not_exist_is_not_found(door: Door) -> None:
    for method, path, body in (
        ("GET", "/v1/sessions/nobody", None),
        ("GET", "/v1/sessions/nobody/turns", None),
        ("GET", "/v1/sessions/nobody/summary", None),
        ("GET", "/v1/sessions/nobody/events", None),
        ("POST", "/v1/sessions/nobody/end", None),
        ("POST", "/session/end", {"sessionId": "nobody"}),
        ("POST", "/session/end", {"roomName": "nowhere"}),
    ):
        answer = await door.http.request(method, path, json=body)
        assert is_problem(answer, 404, "not_found"), (method, path)


async def test_a_session_tells_its_story(door: Door) -> None:
    call = await door.live()

    live = (await door.http.get(f"/v1/sessions/{call.key.session_id}")).json()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()
    closed = (await door.http.get(f"/v1/sessions/{call.key.session_id}")).json()

    assert (live["state"], live["waiting_for"], live["joins"]) == ("live", "caller", 1)
    assert (closed["state"], closed["outcome"]) == ("closed", "completed")
    assert closed["timeline"][0]["text"] == "room created"


async def test_the_summary_of_a_session(door: Door) -> None:
    call = await door.live()
    missing = await door.http.get(f"/v1/sessions/{call.key.session_id}/summary")
    await call.says("I would like a table", "For two")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()

    answer = await door.http.get(f"/v1/sessions/{call.key.session_id}/summary")

    assert is_problem(missing, 404, "not_found")
    assert answer.json()["status"] == "ready"
    assert answer.json()["text"] == "2 turns about I would like a table"


async def test_without_mongodb_sessions_work_and_the_rest_says_why_not(door: Door) -> None:
    async with open_door(door.studio, without_mongodb(door.deps)) as bare:
        call = bare.studio.call(archive=False)
        start = await bare.http.post("/session", json=session_body(call))
        await call.until("joined", lambda status: status.joins == 1)
        turns = await bare.http.get(f"/v1/sessions/{call.key.session_id}/turns")
        summary = await bare.http.get(f"/v1/sessions/{call.key.session_id}/summary")
        by_id = await bare.http.post("/session", json={"userIdentity": "c", "agentId": "ag-1"})
        report = await bare.http.post(
            "/session/observability",
            json={"attempt": 1, "end_reason": "agent_ended"},
            headers=bare.as_agent(call.key),
        )
        closed = await call.closed()

    assert start.status_code == 200
    assert is_problem(turns, 503, "storage_unavailable")
    assert is_problem(summary, 503, "storage_unavailable")
    assert is_problem(by_id, 503, "storage_unavailable")
    assert report.json() == {"sessionId": call.key.session_id, "stored": False}
    assert closed.ended == ("caller_never_joined", "agent_ended")


async def test_a_start_goes_on_when_nobody_comes_in_time(door: Door) -> None:
    call = door.studio.call(NEVER_COMES, join_timeout=1)

    answer = await door.http.post("/session", json=session_body(call))

    assert answer.status_code == 200
    assert answer.json()["agentDispatched"] is True, "accepted by LiveKit, which proves nothing"
    assert (await call.closed()).ended == ("agent_never_joined", "agent_never_joined")
