"""The API tables of the seed service's document, row by row, against the running API.

Each test is named after its row. Names, paths, methods, auth and answers are the document's.
"""

from collections.abc import AsyncGenerator

import pytest
from fastapi import FastAPI

from domain.sessions.dispatch_metadata import DispatchMetadata
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.contract.seed_agent import (
    Json,
    SeedAgents,
    is_in_state,
    live_session,
    report,
    seed_agents,
)
from tests.waiting import eventually

AGENT: Json = {"agent_name": "Front desk", "prompt": "You answer the phone."}


@pytest.fixture
async def app(house: House) -> AsyncGenerator[FastAPI]:
    """The API with the switch for agents that report without a token, as the seed's do."""
    async with house.open(unsigned_reports=True) as app:
        yield app
    await house.quiet()


@pytest.fixture
async def acme(app: FastAPI, house: House) -> Tenant:
    return Tenant(app, await house.key(unique("acme")))


@pytest.fixture
async def globex(app: FastAPI, house: House) -> Tenant:
    return Tenant(app, await house.key(unique("globex")))


@pytest.fixture
def nobody(app: FastAPI) -> Tenant:
    return Tenant(app, None)


@pytest.fixture
def agents(house: House):
    with seed_agents(house) as agents:
        yield agents


# ── Session ──────────────────────────────────────────────────────────────────────────────────────


async def test_post_session(acme: Tenant, agents: SeedAgents, house: House) -> None:
    """Create room, mint user token, dispatch agent."""
    session_id, room = unique("call"), unique("room")
    answer = await acme.http.post(
        "/session",
        json={
            "userIdentity": "ann",
            "roomName": room,
            "sessionId": session_id,
            "agentConfig": {"prompt": "Be brief."},
        },
    )

    assert answer.status_code == 200
    given = answer.json()
    assert given.keys() - {"warnings"} == {
        *("userToken", "roomName", "sessionId", "livekitUrl", "agentDispatched", "agentConfig"),
    }
    assert given["sessionId"] == session_id
    assert given["roomName"].endswith(f".{room}")
    assert given["roomName"] in house.rooms.rooms
    assert given["agentDispatched"] is True
    assert given["agentConfig"]["prompt"] == "Be brief."
    assert given["livekitUrl"].startswith("wss://")
    assert given["userToken"].count(".") == 2
    assert agents.metadata[given["roomName"]]["prompt"] == "Be brief."


async def test_post_session_needs_a_user_identity_and_a_key(acme: Tenant, nobody: Tenant) -> None:
    assert is_problem(await acme.http.post("/session", json={}), 422, "invalid_input")
    answer = await nobody.http.post("/session", json={"userIdentity": "ann"})
    assert is_problem(answer, 401, "unauthenticated")


async def test_post_session_with_an_agent_id(acme: Tenant, agents: SeedAgents) -> None:
    """A saved configuration, with the inline one merged on top."""
    agent_id = (await acme.http.post("/agents", json={"config": AGENT})).json()["agentId"]
    body = {"userIdentity": "ann", "agentId": agent_id, "agentConfig": {"vad_enabled": True}}

    started = (await acme.http.post("/session", json=body)).json()

    sent = agents.metadata[started["roomName"]]
    assert (sent["prompt"], sent["vad_enabled"]) == ("You answer the phone.", True)
    assert sent["agentId"] == agent_id


@pytest.mark.parametrize("by", ["roomName", "sessionId"])
async def test_post_session_end(acme: Tenant, agents: SeedAgents, house: House, by: str) -> None:
    """Mark session ended; does not delete the room, which the report of the agent does."""
    started = await live_session(acme, limits={"report_grace": 120})

    answer = await acme.http.post("/session/end", json={by: started[by]})

    assert answer.status_code == 200
    http, session_id = acme.http, started["sessionId"]
    await eventually(lambda: is_in_state(http, session_id, "ending"), 60)
    assert started["roomName"] in house.rooms.rooms


async def test_post_session_end_needs_a_key_and_one_of_the_two(
    acme: Tenant, nobody: Tenant
) -> None:
    answer = await nobody.http.post("/session/end", json={"sessionId": "any"})
    assert is_problem(answer, 401, "unauthenticated")
    assert is_problem(await acme.http.post("/session/end", json={}), 422, "invalid_input")


async def test_post_session_observability(
    acme: Tenant, nobody: Tenant, agents: SeedAgents, house: House
) -> None:
    """Without auth: persists the transcript, then deletes the room."""
    started = await live_session(acme)
    room, session_id = started["roomName"], started["sessionId"]

    answer = await nobody.http.post(
        "/session/observability", json=report(room, "A table for two.", "Thank you.")
    )

    assert answer.status_code == 200
    await eventually(lambda: is_in_state(acme.http, session_id, "closed"), 60)
    assert room not in house.rooms.rooms
    transcript = (await acme.http.get(f"/api/transcripts/{session_id}")).json()
    assert [turn["text"] for turn in transcript["turns"]] == ["A table for two.", "Thank you."]


# ── Config catalogs ──────────────────────────────────────────────────────────────────────────────


async def test_get_config_tools(nobody: Tenant) -> None:
    """Returns tool registry (tool IDs, names, descriptions)."""
    answer = await nobody.http.get("/config/tools")
    assert answer.status_code == 200
    tools = answer.json()["tools"]
    assert all(tool["id"] and tool["name"] and tool["description"] for tool in tools)
    assert "search_knowledge_base" in {tool["id"] for tool in tools}


async def test_get_config_realtime_options(nobody: Tenant) -> None:
    """Realtime provider options (OpenAI, Gemini, Ultravox, xAI Grok) with models and voices."""
    answer = await nobody.http.get("/config/realtime-options")
    assert answer.status_code == 200
    providers = {one["id"]: one for one in answer.json()["providers"]}
    assert providers.keys() == {"openai", "google", "ultravox", "xai"}
    for provider in providers.values():
        assert provider["models"]
        assert provider["voices"] or provider["customVoices"]


async def test_get_config_pipeline_options(nobody: Tenant) -> None:
    """Pipeline STT/TTS/LLM model catalogs."""
    answer = await nobody.http.get("/config/pipeline-options")
    assert answer.status_code == 200
    assert answer.json().keys() == {"stt", "tts", "llm"}
    assert all(kind["providers"] for kind in answer.json().values())


# ── Agents ───────────────────────────────────────────────────────────────────────────────────────


async def test_get_agents(acme: Tenant, globex: Tenant) -> None:
    """List saved agent configs, scoped by org."""
    made = (await acme.http.post("/agents", json={"config": AGENT})).json()
    assert [one["agentId"] for one in (await acme.http.get("/agents")).json()["agents"]] == [
        made["agentId"]
    ]
    assert (await globex.http.get("/agents")).json()["agents"] == []


async def test_post_agents(acme: Tenant) -> None:
    """Create agent; the body is `{config: AgentConfigWithName}`."""
    answer = await acme.http.post("/agents", json={"config": AGENT})
    assert answer.status_code == 201
    assert answer.json()["config"]["agent_name"] == "Front desk"
    nameless = await acme.http.post("/agents", json={"config": {"prompt": "x"}})
    assert is_problem(nameless, 422, "invalid_input")


async def test_get_put_and_delete_agents_agent_id(acme: Tenant, globex: Tenant) -> None:
    """Get, update and delete a single agent by its id."""
    made = (await acme.http.post("/agents", json={"config": AGENT})).json()
    path = f"/agents/{made['agentId']}"

    assert (await acme.http.get(path)).json()["config"]["prompt"] == AGENT["prompt"]
    changed = await acme.http.put(path, json={"config": {**AGENT, "prompt": "Be kind."}})
    assert changed.status_code == 200
    assert (await acme.http.get(path)).json()["config"]["prompt"] == "Be kind."
    for method in ("GET", "DELETE"):
        assert is_problem(await globex.http.request(method, path), 404, "not_found")
    assert (await acme.http.delete(path)).status_code == 204
    assert is_problem(await acme.http.get(path), 404, "not_found")


AGENT_ROWS = [
    ("GET", "/agents"),
    ("POST", "/agents"),
    ("GET", "/agents/a"),
    ("PUT", "/agents/a"),
    ("DELETE", "/agents/a"),
]
TRANSCRIPT_ROWS = [
    ("GET", "/api/transcripts"),
    ("GET", "/api/transcripts/s"),
    ("GET", "/api/transcripts/agent/a"),
    ("GET", "/api/transcripts/agent/a/stats"),
]


@pytest.mark.parametrize(("method", "path"), AGENT_ROWS + TRANSCRIPT_ROWS)
async def test_all_require_a_key_and_mongodb(house: House, method: str, path: str) -> None:
    """401 without `x-api-key`; 503 where `MONGODB_URI` is not set."""
    body = {"config": AGENT} if method in ("POST", "PUT") else None
    key = await house.key(unique("acme"))
    async with house.open(agents=None, archive=None, records=None) as app:
        keyless = await Tenant(app, None).http.request(method, path, json=body)
        without = await Tenant(app, key).http.request(method, path, json=body)
    assert is_problem(keyless, 401, "unauthenticated")
    assert is_problem(without, 503, "storage_unavailable")


# ── Transcripts ──────────────────────────────────────────────────────────────────────────────────


async def test_the_transcript_rows(
    acme: Tenant, globex: Tenant, nobody: Tenant, agents: SeedAgents
) -> None:
    """List; by session; by agent; aggregated stats of an agent; all scoped by org."""
    agent_id = (await acme.http.post("/agents", json={"config": AGENT})).json()["agentId"]
    started = await live_session(acme, agentId=agent_id)
    session_id = started["sessionId"]
    await nobody.http.post("/session/observability", json=report(started["roomName"], "Hello."))
    await eventually(lambda: is_in_state(acme.http, session_id, "closed"), 60)

    async def found(tenant: Tenant, path: str) -> list[str]:
        return [one["sessionId"] for one in (await tenant.http.get(path)).json()["transcripts"]]

    of_agent = f"/api/transcripts/agent/{agent_id}"

    async def counted() -> bool:
        # Listed with the seal, with its outcome once the last record is written.
        stats = (await acme.http.get(f"{of_agent}/stats")).json()
        assert (stats["agentId"], stats["count"] <= 1) == (agent_id, True)
        return stats["outcomes"] == {"completed": 1}

    await eventually(counted, 60)
    assert await found(acme, "/api/transcripts") == [session_id]
    assert await found(acme, of_agent) == [session_id]
    one = (await acme.http.get(f"/api/transcripts/{session_id}")).json()
    assert [turn["text"] for turn in one["turns"]] == ["Hello."]

    assert await found(globex, "/api/transcripts") == []
    foreign = await globex.http.get(f"/api/transcripts/{session_id}")
    assert is_problem(foreign, 404, "not_found")


# ── Telephony, health ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/telephony/livekit-webhook"),
        ("POST", "/telephony/providers/telnyx/onboard"),
        ("POST", "/telephony/providers/twilio/onboard"),
        ("GET", "/telephony/bindings"),
    ],
)
async def test_telephony_is_404_without_its_setting(acme: Tenant, method: str, path: str) -> None:
    """Telephony routes return 404 unless `TELEPHONY_ENABLED=true`."""
    assert is_problem(await acme.http.request(method, path), 404, "not_found")


async def test_get_health(nobody: Tenant) -> None:
    """Uptime/status check, without auth."""
    answer = await nobody.http.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["uptime_seconds"] >= 0


# ── Metadata contract ────────────────────────────────────────────────────────────────────────────

ALLOWLIST = [
    *("engine", "prompt", "dynamic_variables", "dynamic_variable_defaults", "turn_detection"),
    *("noise_cancellation", "conversation_start", "agent_name", "agent_description", "apiKey"),
    *("agentId", "managed_agents", "user_id", "session_id", "tools", "lyzr_tools", "lyzr_rag"),
    *("agentic_rag", "vad_enabled", "preemptive_generation", "pronunciation_correction"),
    *("pronunciation_rules", "background_audio", "avatar"),
]


async def test_the_metadata_contract(acme: Tenant, agents: SeedAgents) -> None:
    """Every field of the allowlist reaches the agent, under the document's name."""
    given: Json = {
        "engine": {"kind": "pipeline", "llm": "openai/gpt-4.1-mini"},
        "prompt": "p",
        "dynamic_variables": {"a": "1"},
        "dynamic_variable_defaults": {"a": "0"},
        "turn_detection": "english",
        "noise_cancellation": {"enabled": False},
        "conversation_start": {"who": "ai", "greeting": "Hi"},
        "agent_name": "n",
        "agent_description": "d",
        "api_key": "k",
        "agent_id": "ag-1",
        "managed_agents": {
            "enabled": True,
            "agents": [{"id": "ag-2", "name": "Billing", "usage_description": "money"}],
        },
        "knowledge_base": {"enabled": True, "base_url": "https://rag.test", "rag_id": "r"},
        "vad_enabled": True,
        "preemptive_generation": True,
        "pronunciation_correction": True,
        "pronunciation_rules": {"SQL": "sequel"},
        "background_audio": {"ambient": {"enabled": False}},
        "avatar": {"enabled": False, "provider": "anam"},
    }
    body = {"userIdentity": "ann", "sessionId": unique("call"), "agentConfig": given}
    answer = await acme.http.post("/session", json=body)
    assert answer.status_code == 200, answer.text
    started = answer.json()

    sent = agents.metadata[started["roomName"]]

    assert set(ALLOWLIST) <= DispatchMetadata.model_fields.keys()
    same = given.keys() & set(ALLOWLIST) - {"engine", "managed_agents"}
    for name in same - {"noise_cancellation", "background_audio", "avatar"}:
        assert sent[name] == given[name], name
    assert sent["engine"]["kind"] == "pipeline"
    assert sent["apiKey"] == "k"
    assert sent["session_id"] == started["sessionId"]
    assert [one["id"] for one in sent["managed_agents"]] == ["ag-2"]
    assert "search_knowledge_base" in sent["tools"]
    assert (sent["lyzr_rag"]["base_url"], sent["lyzr_rag"]["rag_id"]) == ("https://rag.test", "r")
    not_allowed = {"api_key", "agent_id", "knowledge_base", "model", "voice"}
    assert not sent.keys() & not_allowed, "not in the allowlist"
