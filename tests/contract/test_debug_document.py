"""What the debugging document says must work, against the running API.

Its routes, the two paths that a voice decides between, statuses, models, URL schemes, agent names.
"""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from adapters.livekit.urls import api_url, client_url
from domain.agents.catalogs import BUILT_IN, ModelKind
from domain.agents.config import DEFAULT_LLM
from domain.agents.servers import Heartbeat
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.contract.seed_agent import is_in_state, seed_agents
from tests.waiting import eventually

JOIN_SECONDS = 7.5
"""The document's time in which an agent has to be in the room."""
NEVER_JOINED = "agent dispatch succeeded but agent did not join"
LIMITS = {"caller_wait": 300, "report_grace": 0}


@pytest.fixture
async def app(house: House) -> AsyncGenerator[FastAPI]:
    async with house.open() as app:
        with seed_agents(house):
            yield app
    await house.quiet()


@pytest.fixture
async def acme(app: FastAPI, house: House) -> Tenant:
    return Tenant(app, await house.key(unique("acme")))


async def test_get_health_agent(app: FastAPI, house: House) -> None:
    """Confirms LiveKit API connectivity; says which agents there are, without a key."""
    beat = Heartbeat(server_id=unique("server"), agent_name="test-agent", max_jobs=4)
    await house.services.agent_servers.record(beat, datetime.now(UTC) + timedelta(seconds=60))

    http = Tenant(app, None).http
    health: dict[str, Any] = {}

    async def is_well() -> bool:
        # A worker that has just been started is known to Temporal with its first poll.
        nonlocal health
        answer = await http.get("/health/agent")
        health = answer.json()
        return answer.status_code == 200

    await eventually(is_well, 30, "a healthy answer")
    assert health["livekit"]["ok"]
    assert health["agents"]["ok"]
    assert health["agent_name"] == "test-agent"


@pytest.mark.parametrize(
    ("voice", "kind"),
    [
        ("alloy", "realtime"),
        ("cartesia/sonic-3:794f9389-aac1-45b6-b726-9d9369183238", "pipeline"),
        ("elevenlabs/eleven_flash_v2_5:Xb7hH8MSUJpSbSDYk0k2", "pipeline"),
    ],
)
async def test_post_v1_sessions_start(acme: Tenant, house: House, voice: str, kind: str) -> None:
    """Both paths answer with what a client needs to join, and the agent is in the room.

    The dispatch metadata carries `model` and `voice`, as the document's worker reads them.
    """
    answer = await acme.http.post(
        "/v1/sessions/start?wait=joined", json={"voice": voice, "limits": LIMITS}
    )

    assert answer.status_code == 200, answer.text
    started = answer.json()
    assert started["livekit_url"].startswith("wss://")
    assert started["livekit_token"].count(".") == 2
    assert started["room_name"].endswith(f".{started['session_id']}")
    assert started["agent_joined"] is True
    engine = started["agent_config"]["engine"]
    assert engine["kind"] == kind
    assert started["voice"] == voice
    if kind == "pipeline":
        assert (engine["tts"], started["model"]) == (voice, "openai/gpt-4.1-mini")
    [metadata] = house.rooms.dispatched[started["room_name"]]
    sent = json.loads(metadata)
    assert (sent["model"], sent["voice"]) == (started["model"], voice)
    assert sent["model"] == sent["engine"]["llm"]


async def test_metadata_carries_the_model_that_a_start_names(acme: Tenant, house: House) -> None:
    answer = await acme.http.post(
        "/v1/sessions/start?wait=joined", json={"model": "openai/gpt-4.1", "limits": LIMITS}
    )
    assert answer.status_code == 200, answer.text
    [metadata] = house.rooms.dispatched[answer.json()["room_name"]]
    sent = json.loads(metadata)
    assert (sent["model"], sent["voice"]) == ("openai/gpt-4.1", sent["engine"]["tts"])


@pytest.mark.parametrize("model", ["openai/gpt-5-nano", "openai/gpt-5-mini", "nobody/nothing"])
async def test_invalid_models_are_refused_with_the_valid_ones(acme: Tenant, model: str) -> None:
    answer = await acme.http.post("/v1/sessions/start", json={"model": model})

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == "model"
    assert "openai/gpt-4.1-mini" in fault["reason"] + (fault.get("cure") or "")


def test_the_default_model_is_the_documents_on_both_sides() -> None:
    assert DEFAULT_LLM == "openai/gpt-4.1-mini"
    assert DEFAULT_LLM in BUILT_IN.models[ModelKind.LLM].names()


async def test_turns_are_posted_and_read(acme: Tenant) -> None:
    """`/v1/sessions/:id/turns`, both ways."""
    session_id = unique("call")
    await acme.start(session_id)
    path = f"/v1/sessions/{session_id}/turns"

    stored = await acme.http.post(path, json={"turns": [{"role": "user", "text": "Hello."}]})

    assert stored.status_code == 200
    turns = (await acme.http.get(path)).json()["turns"]
    assert [(turn["role"], turn["text"]) for turn in turns] == [("user", "Hello.")]


async def test_summaries_go_from_pending_to_ready(acme: Tenant) -> None:
    session_id = unique("call")
    await acme.start(session_id, wait="joined", limits=LIMITS)
    path = f"/v1/sessions/{session_id}"
    turns = [{"role": "user", "text": "A table for four, please."}]
    await acme.http.post(f"{path}/turns", json={"turns": turns})
    await acme.end(session_id)

    seen: list[str] = []

    async def ready() -> bool:
        answer = await acme.http.get(f"{path}/summary")
        if answer.status_code == 200:
            seen.append(answer.json()["status"])
        return "ready" in seen

    await eventually(ready, 60)
    assert set(seen) <= {"pending", "ready"}


async def test_an_agent_that_never_joins_is_told_as_such(acme: Tenant, house: House) -> None:
    """The document's failure: dispatch accepted, and nobody comes. The log says so."""
    house.rooms.on_dispatch = lambda room, dispatch_id, metadata: None
    session_id = unique("call")
    with capture_logs() as logs:
        started = await acme.start(
            session_id,
            wait="dispatched",
            limits={"join_timeout": 0.5, "join_attempts": 1, "report_grace": 0, "summary_wait": 0},
        )
        assert started.json()["agent_dispatched"] is True
        await eventually(lambda: is_in_state(acme.http, session_id, "closed"), 60)

    room = started.json()["room_name"]
    [told] = [entry for entry in logs if entry["event"] == NEVER_JOINED and entry["room"] == room]
    assert (told["attempt"], told["agent"], told["participants"]) == (1, None, [])
    assert told["url"] == house.rooms.api_url
    assert told["counters"]["dispatched"] >= told["counters"]["not_joined"] >= 1
    closed = (await acme.http.get(f"/v1/sessions/{session_id}")).json()
    assert closed["outcome"] == "agent_never_joined"
    assert closed["room_deleted"]


def test_the_joins_time_is_the_documents() -> None:
    from domain.sessions.session import SessionLimits

    assert SessionLimits().join_timeout == JOIN_SECONDS


@pytest.mark.parametrize(
    ("given", "for_servers", "for_clients"),
    [
        ("wss://x.livekit.cloud", "https://x.livekit.cloud", "wss://x.livekit.cloud"),
        ("ws://127.0.0.1:7880", "http://127.0.0.1:7880", "ws://127.0.0.1:7880"),
        ("https://x.livekit.cloud", "https://x.livekit.cloud", "wss://x.livekit.cloud"),
    ],
)
def test_url_schemes(given: str, for_servers: str, for_clients: str) -> None:
    """`wss://` for clients, `https://` for the server's calls."""
    assert (api_url(given), client_url(given)) == (for_servers, for_clients)
