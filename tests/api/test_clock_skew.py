"""Machines whose clocks differ: the difference is named first, and what is safe goes on."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from adapters.livekit.signatures import HEARTBEAT, WEBHOOK, sign_body
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.temporal.sessions import TemporalSessions
from domain.agents.places import capacity
from domain.agents.servers import AgentServer
from domain.clocks import CLOCK_CURE, Clock
from services.agents.clocks import RefusedClocks
from services.agents.health import agents_check
from services.sessions.webhook_receipts import LiveKitWebhooks
from tests.api.door import JSON, LIVEKIT_KEY, LIVEKIT_SECRET, Door, is_problem, open_door
from tests.fakes.agents import Plays

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEAT = {"server_id": "s1", "agent_name": "test-agent", "max_jobs": 4}


@dataclass
class SetClock(Clock):
    """A clock that differs by as much as a test says."""

    seconds: float | None

    async def ahead(self) -> float | None:
        return self.seconds


@asynccontextmanager
async def skewed(door: Door, **ahead: float | None) -> AsyncGenerator[Door]:
    """The API with servers whose clocks differ so."""
    clocks: dict[str, Clock] = {name: SetClock(seconds) for name, seconds in ahead.items()}
    deps = replace(
        door.deps,
        clocks=clocks,
        refused_clocks=RefusedClocks(),
        livekit_webhooks=LiveKitWebhooks(),
        agent_servers=MemoryAgentServers(),
    )
    async with open_door(door.studio, deps, key=None) as opened:
        yield opened


async def webhook(door: Door, ahead: float, event: JSON) -> httpx.Response:
    """A webhook of a LiveKit whose clock is so many seconds ahead."""
    now = time.time() + ahead
    body = json.dumps({"createdAt": str(int(now)), **event}).encode()
    signature = sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, WEBHOOK, now=now)
    headers = {"Authorization": signature, "content-type": "application/webhook+json"}
    return await door.http.post("/v1/livekit/webhook", content=body, headers=headers)


async def heartbeat(door: Door, ahead: float, **fields: Any) -> httpx.Response:
    """A heartbeat of an agent server whose clock is so many seconds ahead."""
    now = time.time() + ahead
    body = json.dumps(BEAT | fields).encode()
    signature = sign_body(LIVEKIT_KEY, LIVEKIT_SECRET, body, HEARTBEAT, now=now)
    headers = {"Authorization": signature}
    return await door.http.post("/v1/agent-servers/heartbeat", content=body, headers=headers)


EVENT = {"event": "room_started", "id": "EV_1", "room": {"name": "acme.r", "sid": "RM_1"}}


@pytest.mark.parametrize("ahead", [600.0, -600.0, 7_200.0, -7_200.0])
async def test_webhooks_are_taken_by_livekits_own_clock(door: Door, ahead: float) -> None:
    async with skewed(door, LiveKit=ahead) as opened:
        answer = await webhook(opened, ahead, EVENT)
        assert answer.status_code == 200, answer.text
        replayed = await webhook(opened, ahead - 900, EVENT)
        assert is_problem(replayed, 401, "clock_skew"), "an old one stays an old one"


@pytest.mark.parametrize("measured", [None, 0.0])
@pytest.mark.parametrize(("ahead", "words"), [(600.0, "10 min ahead"), (-600.0, "10 min behind")])
async def test_a_refused_webhook_names_the_clock_and_not_the_key(
    door: Door, measured: float | None, ahead: float, words: str
) -> None:
    async with skewed(door, LiveKit=measured) as opened:
        answer = await webhook(opened, ahead, EVENT)

        assert is_problem(answer, 401, "clock_skew")
        [fault] = answer.json()["errors"]
        assert words in fault["reason"]
        assert fault["cure"] == CLOCK_CURE
        receipts = await opened.deps.livekit_webhooks.receipts()
        assert words in (receipts.rejection or "")
        assert receipts.rejection_cure == CLOCK_CURE


@pytest.mark.parametrize(("ahead", "words"), [(600.0, "10 min ahead"), (-600.0, "10 min behind")])
async def test_a_refused_heartbeat_is_named_first_in_health(
    door: Door, ahead: float, words: str
) -> None:
    async with skewed(door, LiveKit=0.0, Temporal=None) as opened:
        well = (await opened.http.get("/health/agent")).json()
        with capture_logs() as logged:
            refused = await heartbeat(opened, ahead)
            await heartbeat(opened, ahead)
        ill = (await opened.http.get("/health/agent")).json()

        assert is_problem(refused, 401, "clock_skew")
        assert words in refused.json()["detail"]
        warned = [one for one in logged if one["event"] == "heartbeat refused"]
        assert [(words in one["reason"], one["cure"]) for one in warned] == [(True, CLOCK_CURE)]
        assert list(well)[:2] == ["status", "clocks"]
        assert well["clocks"] == {
            "ok": True,
            "detail": "those of LiveKit agree with this API's",
            "cure": None,
        }
        assert ill["clocks"]["ok"] is False
        assert f"an agent server's clock is {words}" in ill["clocks"]["detail"]
        assert ill["clocks"]["cure"] == CLOCK_CURE


async def test_a_heartbeat_that_tells_another_time_is_taken_and_named(door: Door) -> None:
    async with skewed(door) as opened:
        # Signed by the API's clock, as an agent server does after the first refusal.
        taken = await heartbeat(opened, 0.0, sent_at=time.time() + 600)
        told = (await opened.http.get("/health/agent")).json()["clocks"]

        assert taken.status_code == 200
        assert told["ok"] is False
        assert told["detail"] == "agent server s1's clock is 10 min ahead of this API's"


async def test_every_clock_that_differs_is_named(door: Door) -> None:
    async with skewed(door, LiveKit=600.0, Temporal=-600.0) as opened:
        told = (await opened.http.get("/health/agent")).json()["clocks"]

    assert told["detail"] == (
        "LiveKit's clock is 10 min ahead of this API's;"
        " Temporal's clock is 10 min behind this API's"
    )


def _server(name: str, at: datetime) -> AgentServer:
    return AgentServer(
        server_id=name,
        agent_name="test-agent",
        max_jobs=2,
        draining=False,
        jobs=[],
        last_heartbeat=at,
    )


def test_a_silent_server_is_silent_although_this_clock_is_behind() -> None:
    """The API that stored the heartbeats is ten minutes ahead of this process."""
    api_now = NOW + timedelta(minutes=10)
    silent = _server("silent", api_now - timedelta(minutes=1))
    alive = _server("alive", api_now)

    there = capacity([silent, alive], "test-agent", [], NOW)
    assert there is not None
    assert there.free == 2
    assert "1 agent servers" in agents_check([silent, alive], "test-agent", NOW).detail


@pytest.mark.parametrize("mine", [600.0, -600.0])
async def test_an_agent_is_told_its_time_by_temporals_clock(
    door: Door, monkeypatch: pytest.MonkeyPatch, mine: float
) -> None:
    call = await door.live(Plays(), max_duration=600)
    real = time.time
    token = door.as_agent(call.key, lifetime=3_600)
    monkeypatch.setattr("time.time", lambda: real() + mine)

    # Another process, which has not measured anything yet.
    fresh = TemporalSessions(door.studio.client, door.studio.settings.temporal_task_queue)
    async with open_door(door.studio, replace(door.deps, sessions=fresh)) as opened:
        answer = await opened.http.get("/v1/agent/time-left", headers=token)

    # The two clocks are compared to within the time of a request.
    assert 500 < answer.json()["remaining"] < 610, answer.text
    monkeypatch.undo()
    await call.end()
    await call.closed()
