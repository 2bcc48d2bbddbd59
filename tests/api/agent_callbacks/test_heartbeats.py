"""Heartbeats of agent servers: the losses that they name reach their sessions at once."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from adapters.livekit.signatures import HEARTBEAT, WEBHOOK, sign_body
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.temporal.client import connect_lazily
from adapters.temporal.sessions import TemporalSessions
from domain.agents.servers import Heartbeat
from domain.errors import StorageUnavailable
from tests.api.door import LIVEKIT_KEY, LIVEKIT_SECRET, Door, is_problem, open_door
from tests.servers import free_port
from tests.workflows.calls import Call

CHECK = "/v1/agent-servers/check"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class NoStorage(MemoryAgentServers):
    """MongoDB is away."""

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        raise StorageUnavailable("MongoDB does not answer")

    async def prove_path(self, at: datetime) -> None:
        raise StorageUnavailable("MongoDB does not answer")


class Condemned(MemoryAgentServers):
    """The watchdog has given a job to somebody else."""

    async def record(self, heartbeat: Heartbeat, at: datetime) -> list[str]:
        await super().record(heartbeat, at)
        return ["AJ_old"]


async def beat_of(call: Call, **fields: Any) -> dict[str, Any]:
    """A heartbeat that names the loss of a call's agent."""
    job = {
        "job_id": f"AJ_{(await call.status()).agent_identity}",
        "org": call.key.org,
        "session_id": call.key.session_id,
        "attempt": 1,
    }
    lost = [job | {"reason": "its process ended with code -9"}]
    return {"server_id": "s1", "agent_name": "test-agent", "max_jobs": 4, "lost": lost} | fields


async def test_a_lost_job_is_replaced_whoever_repeats_it(keyless: Door, door: Door) -> None:
    call = await door.live()
    beat = await beat_of(call)
    beat["lost"][0] |= {"unanswered": True, "undelivered_turn": "item_7"}

    answers = [await keyless.heartbeat(beat) for _ in range(3)]
    status = await call.until("replaced", lambda status: status.joins == 2)

    assert [answer.json() for answer in answers] == [{"accepted": True, "stop": []}] * 3
    assert status.dispatches == 2
    assert call.unanswered() == [False, True], "what the loss says reaches the next agent"
    assert call.told_agents("undelivered_turn") == [None, "item_7"]
    assert any("lost: its process ended with code -9" in e.text for e in status.timeline)
    await call.end()
    await call.closed()


async def test_without_mongodb_the_session_is_told_all_the_same(door: Door) -> None:
    call = await door.live()
    deps = replace(door.deps, agent_servers=NoStorage())
    async with open_door(door.studio, deps, key=None) as poor:
        answer = await poor.heartbeat(await beat_of(call))

    assert is_problem(answer, 503, "storage_unavailable")
    await call.until("replaced", lambda status: status.joins == 2)
    await call.end()
    await call.closed()


async def test_without_temporal_the_server_is_heard_all_the_same(door: Door) -> None:
    call = await door.live()
    nowhere = door.studio.settings.model_copy(
        update={"temporal_address": f"127.0.0.1:{free_port()}"}
    )
    away = TemporalSessions(await connect_lazily(nowhere), "queue")
    heard = MemoryAgentServers()
    deps = replace(door.deps, sessions=away, agent_servers=heard)
    async with open_door(door.studio, deps, key=None) as poor:
        answer = await poor.heartbeat(await beat_of(call))

    assert answer.status_code == 503
    assert [server.server_id for server in await heard.seen_since(LONG_AGO)] == ["s1"]
    await call.end()
    await call.closed()


async def test_a_job_of_nobody_and_one_of_a_closed_session_are_no_trouble(keyless: Door) -> None:
    lost = [
        {"job_id": "AJ_1", "reason": "its process ended with code -9"},
        {"job_id": "AJ_2", "org": "acme", "session_id": "never-was", "attempt": 1, "reason": "so"},
    ]
    beat = {"server_id": "s1", "agent_name": "test-agent", "max_jobs": 4, "lost": lost}

    answer = await keyless.heartbeat(beat)

    assert answer.json() == {"accepted": True, "stop": []}


async def test_the_answer_names_the_jobs_to_stop(door: Door) -> None:
    beat = {"server_id": "s1", "agent_name": "test-agent", "max_jobs": 4}
    async with open_door(
        door.studio, replace(door.deps, agent_servers=Condemned()), key=None
    ) as known:
        answer = await known.heartbeat(beat)

    assert answer.json() == {"accepted": True, "stop": ["AJ_old"]}


async def test_the_way_of_heartbeats_can_be_tried(keyless: Door) -> None:
    body = json.dumps({"check": "1"}).encode()
    signed = {
        purpose: {"Authorization": sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, purpose)}
        for purpose in (HEARTBEAT, WEBHOOK)
    }
    poor = replace(keyless.deps, agent_servers=NoStorage())

    open_way = await keyless.http.post(CHECK, content=body, headers=signed[HEARTBEAT])
    a_webhook = await keyless.http.post(CHECK, content=body, headers=signed[WEBHOOK])
    unsigned = await keyless.http.post(CHECK, content=body)
    async with open_door(keyless.studio, poor, key=None) as door:
        broken_way = await door.http.post(CHECK, content=body, headers=signed[HEARTBEAT])

    assert open_way.json() == {"accepted": True}
    assert [a_webhook.status_code, unsigned.status_code] == [401, 401]
    assert is_problem(broken_way, 503, "storage_unavailable")
