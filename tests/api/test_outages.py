"""Temporal or MongoDB is away: 503 in bounded time, and nothing is lost or started in silence."""

import asyncio
import uuid

import pytest

from adapters.livekit.signatures import WEBHOOK, sign_body
from adapters.temporal import client as temporal_client
from adapters.temporal.sessions import TemporalSessions
from domain.ids import SessionKey
from tests.api.door import (
    JSON,
    LIVEKIT_KEY,
    LIVEKIT_SECRET,
    Door,
    is_problem,
    open_door,
    services,
)
from tests.fakes.agents import Plays
from tests.servers import free_port, start_temporal
from tests.waiting import eventually
from tests.workflows.studio import worker_settings

PATIENCE = 60.0
"""Seconds in which an answer has to be there: 10 for the stage of a start, 5 to find out why not,
and the rest for a busy machine."""

REQUESTS: list[tuple[str, str, JSON | None]] = [
    ("POST", "/session", {"userIdentity": "c"}),
    ("POST", "/session?wait=accepted", {"userIdentity": "c"}),
    ("POST", "/v1/sessions/start", {}),
    ("POST", "/session/end", {"sessionId": "any"}),
    ("POST", "/session/end", {"roomName": "any"}),
    ("GET", "/v1/sessions/any", None),
    ("POST", "/v1/sessions/any/end", None),
    ("GET", "/v1/sessions/any/events", None),
    ("GET", "/v1/sessions/any/turns", None),
]
LONGER_REQUESTS: list[tuple[str, str, JSON | None]] = [
    ("POST", "/session?wait=joined", {"userIdentity": "c"}),
]
"""A silent Temporal is waited for as long as the agent would be; one that refuses is not."""
AGENT_REQUESTS: list[tuple[str, str, JSON | None]] = [
    ("POST", "/v1/agent/ready", {"attempt": 1, "job_id": "j", "identity": "a"}),
    ("POST", "/v1/agent/failed", {"event_id": "e", "attempt": 1, "reason": "r"}),
    ("POST", "/session/observability", {"attempt": 1}),
]


async def _all_say_503(door: Door, requests: list[tuple[str, str, JSON | None]]) -> None:
    agent = door.as_agent(SessionKey("acme", "any"))

    async def ask(method: str, path: str, body: JSON | None, headers: dict[str, str]) -> None:
        async with asyncio.timeout(PATIENCE):
            answer = await door.http.request(method, path, json=body, headers=headers)
        assert is_problem(answer, 503, "unavailable"), (method, path, answer.text)
        assert int(answer.headers["retry-after"]) > 0

    await asyncio.gather(
        *(ask(*request, {}) for request in requests),
        *(ask(*request, agent) for request in AGENT_REQUESTS),
    )


async def test_temporal_was_never_there(door: Door) -> None:
    settings = worker_settings(f"127.0.0.1:{free_port()}", "any")
    client = await temporal_client.connect_lazily(settings)

    async with open_door(
        door.studio, services(door.studio, TemporalSessions(client, "any")), patient=False
    ) as shut:
        await _all_say_503(shut, [*REQUESTS, *LONGER_REQUESTS])
        health = await shut.http.get("/health/agent")
        alive = await shut.http.get("/health")
        webhook = await shut.http.post(
            "/v1/livekit/webhook", content=b"{}", headers={"Authorization": _signed(b"{}")}
        )

    assert health.status_code == 503
    assert health.json()["temporal"]["ok"] is False
    assert alive.status_code == 200
    assert webhook.status_code == 422


def _signed(body: bytes) -> str:
    return sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, WEBHOOK)


@pytest.mark.timeout(300)
async def test_temporal_goes_away_and_comes_back(door: Door) -> None:
    async with start_temporal() as server:
        settings = worker_settings(server.address, "any")
        client = await temporal_client.connect(settings)
        workflows = TemporalSessions(client, f"nobody-polls-{uuid.uuid4().hex}")
        deps = services(door.studio, workflows)
        async with open_door(door.studio, deps, patient=False) as shaky:

            async def starts() -> bool:
                answer = await shaky.http.post("/session?wait=accepted", json={"userIdentity": "c"})
                assert answer.status_code in (202, 503), answer.text
                return answer.status_code == 202

            await eventually(starts, what="a start")
            server.process.pause()
            await _all_say_503(shaky, REQUESTS)
            server.process.resume()
            # Connections and leases that ran out meanwhile are renewed first.
            await eventually(starts, what="a start once it is back")


async def test_no_worker_answers(door: Door) -> None:
    workflows = TemporalSessions(door.studio.client, f"nobody-polls-{uuid.uuid4().hex}")
    deps = services(door.studio, workflows)
    async with open_door(door.studio, deps, patient=False) as idle:
        started = await idle.http.post("/session", json={"userIdentity": "c"})
        session = started.json()["sessionId"]
        agent = idle.as_agent(SessionKey("acme", session))
        claim = {"attempt": 1, "job_id": "j", "identity": "a"}
        status, claimed, ended, health = await asyncio.gather(
            idle.http.get(f"/v1/sessions/{session}"),
            idle.http.post("/v1/agent/ready", json=claim, headers=agent),
            idle.http.post(f"/v1/sessions/{session}/end"),
            idle.http.get("/health/agent"),
        )

    assert started.status_code == 202, "durable, and it goes on when a worker is there"
    assert started.json()["agentDispatched"] is False
    assert is_problem(status, 503, "unavailable")
    assert is_problem(claimed, 503, "unavailable"), "the agent has to ask again"
    assert ended.json()["ended"] is True, "an end works while no worker runs"
    assert health.json()["temporal"]["detail"] == "no worker polls the task queue"


async def test_mongodb_is_away_and_temporal_knows_the_session(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    ended = f"/v1/sessions/{call.key.session_id}/end"
    unknown = SessionKey("acme", uuid.uuid4().hex)
    await door.http.post(ended)
    await call.closed()

    away = door.studio.archive.switch.away
    away |= {call.key, unknown}
    async with open_door(door.studio, door.deps, patient=False) as door_without:
        again = await door_without.http.post(ended)
        events = await door_without.http.get(f"/v1/sessions/{call.key.session_id}/events")
        neither = await door_without.http.post(f"/v1/sessions/{unknown.session_id}/end")
    away -= {call.key, unknown}

    assert again.status_code == 200, again.text
    assert again.json()["ended"] is False
    assert events.status_code == 200
    assert "event: end" in events.text
    assert is_problem(neither, 503, "storage_unavailable"), "it may be an old one"


async def test_temporal_is_away_and_mongodb_knows_the_session(door: Door) -> None:
    call = await door.live(Plays())
    await door.http.post(f"/v1/sessions/{call.key.session_id}/end")
    await call.closed()
    settings = worker_settings(f"127.0.0.1:{free_port()}", "any")
    away = TemporalSessions(await temporal_client.connect_lazily(settings), "any")

    async with open_door(door.studio, services(door.studio, away), patient=False) as shut:
        events = await shut.http.get(f"/v1/sessions/{call.key.session_id}/events")

    assert events.status_code == 200
    assert "event: end" in events.text
