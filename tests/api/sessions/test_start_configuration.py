"""What a start's configuration becomes: in the answer, in the dispatch, in the session's record."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from adapters.mongo import MongoArchive
from adapters.mongo.client import connect
from adapters.temporal.encryption import EncryptionCodec
from api.dependencies import agents_of
from api.main import tool_url_check
from domain.agents.catalogs import BUILT_IN
from domain.agents.masking import MASK
from services.agents.capabilities import Capabilities
from services.agents.saved_agents import Agents
from tests.api.agents.test_agents import create, office, put
from tests.api.door import Door, at_last, is_problem, open_door
from tests.servers import free_port
from tests.workflows.calls import Call

__all__ = ["office"]

JSON = dict[str, Any]


async def started(office: Door, **body: Any) -> tuple[Call, JSON, JSON]:
    """A session by `POST /v1/sessions/start`: the call, the answer, the dispatch metadata."""
    call = office.studio.call()
    given = {"session_id": call.key.session_id, "room_name": call.request.room_name, **body}
    path = "/v1/sessions/start"
    answer = await at_last(lambda: office.http.post(path, json=given), late=202)
    assert answer.status_code == 200, answer.text
    [metadata] = office.studio.rooms.dispatched[call.room]
    return call, answer.json(), json.loads(metadata)


async def finish(call: Call) -> None:
    await call.end()
    await call.closed()


async def test_a_saved_agent_with_an_inline_configuration_on_top(office: Door) -> None:
    made = await create(
        office,
        prompt="saved",
        api_key="canary",
        engine={"llm": "openai/gpt-4.1", "language": "de"},
        dynamic_variables={"name": "Ada", "plan": "gold"},
    )
    await put(office, made, made["config"] | {"agent_description": "second"})
    call, answer, sent = await started(
        office,
        agent_id=made["agentId"],
        agent_config={
            "engine": {"llm": "xai/grok-4.3"},
            "dynamic_variables": {"plan": "free"},
            "api_key": MASK,
            "tools": ["end_call", "fly"],
        },
    )

    assert sent["engine"]["llm"] == answer["model"] == "xai/grok-4.3"
    assert sent["engine"]["language"] == "de"
    assert (sent["prompt"], sent["agent_description"]) == ("saved", "second")
    assert sent["dynamic_variables"] == {"name": "Ada", "plan": "free"}
    assert (sent["apiKey"], sent["tools"]) == ("canary", ["end_call"])
    assert sent["agentId"] == made["agentId"]
    assert answer["agent_config"]["api_key"] == MASK
    assert [warning["field"] for warning in answer["warnings"]] == ["tools"]
    status = await call.status()
    assert (status.agent_id, status.agent_version) == (made["agentId"], 2)
    await finish(call)


async def test_both_start_routes_report_what_they_left_out(office: Door) -> None:
    call = office.studio.call()
    body = {
        "userIdentity": "caller",
        "sessionId": call.key.session_id,
        "roomName": call.request.room_name,
        "agentConfig": {"prompt": "x", "tools": ["fly"], "knowledge_base": {"enabled": True}},
    }
    answer = await office.http.post("/session", json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["agentConfig"]["tools"] == ["search_knowledge_base"]
    assert [one["field"] for one in answer.json()["warnings"]] == ["tools", "knowledge_base"]
    await finish(call)


async def test_a_start_without_a_prompt_is_warned_of(office: Door) -> None:
    made = await create(office)
    for body, fields in (
        ({}, ["prompt"]),
        ({"agent_config": {"prompt": " "}}, ["prompt"]),
        ({"agent_id": made["agentId"]}, ["prompt"]),
        ({"agent_id": made["agentId"], "agent_config": {"prompt": "You are a host."}}, []),
    ):
        call, answer, _ = await started(office, **body)
        assert [warning["field"] for warning in answer["warnings"]] == fields
        await finish(call)


async def test_a_start_is_warned_of_what_the_installation_cannot_do(office: Door) -> None:
    able = Capabilities(
        check_url=tool_url_check(allow_private=False), analyses=False, recordings=False
    )
    config = {
        "prompt": "x",
        "http_tools": [{"name": "a", "description": "b", "url": "http://localhost:9/"}],
        "analysis": {"summary_prompt": "c"},
        "recording": {"enabled": True},
    }
    fields = ["http_tools.0.url", "analysis.summary_prompt", "recording"]
    agents = replace(agents_of(office.deps), able=able)
    deps = replace(office.deps, able=able, agents=agents)
    async with open_door(office.studio, deps) as limited:
        call, answer, _ = await started(limited, agent_config=config)
        made = await create(limited, **config)

    assert [warning["field"] for warning in answer["warnings"]] == fields
    assert [warning["field"] for warning in made["warnings"]] == fields
    await finish(call)


@pytest.mark.parametrize(
    ("voice", "engine"),
    [
        ("alloy", {"kind": "realtime", "llm": "openai/gpt-realtime", "voice": "alloy"}),
        (
            "cartesia/sonic-3:id-1",
            {
                "kind": "pipeline",
                "stt": "openai/gpt-4o-mini-transcribe",
                "llm": "openai/gpt-4.1-mini",
                "tts": "cartesia/sonic-3:id-1",
            },
        ),
    ],
)
async def test_the_voice_decides_the_path(office: Door, voice: str, engine: JSON) -> None:
    call, answer, sent = await started(office, voice=voice)

    assert sent["engine"] == engine
    assert (answer["model"], answer["voice"]) == (engine["llm"], voice)
    await finish(call)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "openai/gpt-5-nano"}, "model"),
        ({"model": "openai/gpt-5-mini", "voice": "cartesia/sonic-3:x"}, "model"),
        ({"agent_config": {"engine": {"llm": "acme/wise"}}}, "agent_config.engine.llm"),
        ({"voice": "nobody"}, "voice"),
        ({"agent_config": {"api_key": MASK}}, "agent_config.api_key"),
        ({"agent_config": {"time_zone": "Mars/Crater"}}, "agent_config.time_zone"),
        ({"agent_id": "never-there"}, "agent_id"),
    ],
)
async def test_a_refused_start_names_the_field_and_starts_nothing(
    office: Door, body: JSON, field: str
) -> None:
    known = office.studio.rooms.known()
    answer = await office.http.post("/v1/sessions/start", json=body)

    status, code = (404, "not_found") if field == "agent_id" else (422, "invalid_input")
    assert is_problem(answer, status, code)
    [fault] = answer.json()["errors"]
    assert fault["field"] == field
    if field in ("model", "agent_config.engine.llm"):
        assert "openai/gpt-4.1-mini" in fault["cure"]
    assert office.studio.rooms.known() == known


async def test_the_log_tells_the_configuration_without_its_words(office: Door) -> None:
    config = {"prompt": "canary-prompt", "api_key": "canary-key", "tools": ["fly"]}
    with capture_logs() as logs:
        call, _, _ = await started(office, agent_config=config)
    [entry] = [one for one in logs if one["event"] == "configuration resolved"]

    assert "canary" not in str(logs)
    assert entry["session"] == call.key.session_id
    assert entry["config"]["engine"]["llm"] == "openai/gpt-4.1-mini"
    assert entry["config"]["prompt"] == "13 characters"
    assert entry["config"]["api_key"] == "set"
    assert "'fly'" in entry["warnings"][0]
    [*_, request] = [one for one in logs if one["event"] == "request"]
    assert request["session"] == call.key.session_id
    await finish(call)


@pytest.fixture
async def agents_out_of_reach(office: Door) -> AsyncGenerator[Door]:
    """The same API while nothing answers where MongoDB was."""
    client = connect(f"mongodb://127.0.0.1:{free_port()}")
    archive = MongoArchive(client, "gone")
    agents = Agents(archive.saved_agents(EncryptionCodec({"k": b"k" * 32})), BUILT_IN)
    async with open_door(office.studio, replace(office.deps, agents=agents)) as cut_off:
        yield cut_off
    client.close()


@pytest.mark.parametrize("wait", ["accepted", "dispatched"])
async def test_a_repeated_start_tells_what_runs_whatever_became_of_the_agent(
    office: Door, agents_out_of_reach: Door, wait: str
) -> None:
    made = await create(office, prompt="one", engine={"llm": "openai/gpt-4.1"})
    inline = {"agent_description": "inline"}
    call, first, _ = await started(office, agent_id=made["agentId"], agent_config=inline)
    again: JSON = {
        "session_id": call.key.session_id,
        "room_name": call.request.room_name,
        "agent_id": made["agentId"],
        "agent_config": inline,
    }

    async def repeat(door: Door, **changed: Any) -> httpx.Response:
        path = f"/v1/sessions/start?wait={wait}"
        late = None if wait == "accepted" else 202
        return await at_last(lambda: door.http.post(path, json=again | changed), late)

    answers = [await repeat(agents_out_of_reach)]
    await put(
        office,
        made,
        {"agent_name": "Ada", "prompt": "two", "engine": {"llm": "xai/grok-4.3"}, "tools": ["fly"]},
    )
    answers.append(await repeat(office))
    await office.http.delete(f"/agents/{made['agentId']}")
    answers.append(await repeat(office))

    for answer in answers:
        assert answer.is_success, answer.text
        for told in ("session_id", "room_name", "model", "voice", "agent_config", "warnings"):
            assert answer.json()[told] == first[told], told
    assert len(office.studio.rooms.dispatched[call.room]) == 1
    other = await repeat(office, agent_config={"agent_description": "other"})
    assert is_problem(other, 409, "idempotency_mismatch")
    new = await repeat(office, session_id=f"{call.key.session_id}-new", room_name=None)
    assert is_problem(new, 404, "not_found"), "a new session cannot run a deleted agent"
    await finish(call)
    assert is_problem(await repeat(office), 409, "conflict")


async def test_a_retry_finds_its_session_though_the_agent_was_edited(office: Door) -> None:
    made = await create(office, prompt="one")
    call, first, _ = await started(office, agent_id=made["agentId"])
    await put(office, made, made["config"] | {"prompt": "two"})
    again: JSON = {
        "session_id": call.key.session_id,
        "room_name": call.request.room_name,
        "agent_id": made["agentId"],
    }
    answer = await office.http.post("/v1/sessions/start", json=again)

    assert answer.status_code == 200, answer.text
    assert answer.json()["session_id"] == first["session_id"]
    assert len(office.studio.rooms.dispatched[call.room]) == 1
    changed: JSON = {**again, "agent_config": {}}
    other = await office.http.post("/v1/sessions/start", json=changed)
    assert is_problem(other, 409, "idempotency_mismatch")
    await finish(call)
