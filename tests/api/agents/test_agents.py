"""Saved agents over HTTP, on a real MongoDB-compatible server."""

import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.client import connect
from adapters.temporal.encryption import EncryptionCodec
from domain.agents.catalogs import BUILT_IN
from domain.agents.masking import MASK
from services.agents.saved_agents import Agents
from tests.api.door import (
    KEY,
    OTHER_KEY,
    Door,
    at_last,
    is_problem,
    open_door,
    without_mongodb,
)
from tests.fakes.agent_servers import AgentServersThere
from tests.servers import MongoServer

OTHER = {"x-api-key": OTHER_KEY}
JSON = dict[str, Any]


@pytest.fixture(scope="session")
async def office(door: Door, mongo_server: MongoServer) -> AsyncGenerator[Door]:
    """The API with saved agents."""
    client = connect(mongo_server.uri)
    archive = MongoArchive(client, f"test-{uuid.uuid4().hex}")
    await archive.ensure_indexes()
    agents = Agents(archive.saved_agents(EncryptionCodec({"k": b"k" * 32})), BUILT_IN)
    there = AgentServersThere(door.deps.agent_name)
    deps = replace(door.deps, agents=agents, agent_servers=there)
    async with open_door(door.studio, deps) as office:
        yield office
    client.close()


async def create(office: Door, **config: Any) -> JSON:
    answer = await office.http.post("/agents", json={"config": {"agent_name": "Ada", **config}})
    assert answer.status_code == 201, answer.text
    return answer.json()


def naming(*agent_ids: str, enabled: bool = True) -> JSON:
    """A configuration that hands over to these agents."""
    agents = [{"id": one, "name": one, "usage_description": "the rest"} for one in agent_ids]
    return {"managed_agents": {"enabled": enabled, "agents": agents}}


async def put(office: Door, agent: JSON, config: JSON, **how: Any) -> httpx.Response:
    body = {"config": config, **how.pop("body", {})}
    return await office.http.put(f"/agents/{agent['agentId']}", json=body, **how)


async def test_an_agent_is_created_read_changed_and_deleted(office: Door) -> None:
    made = await create(office, prompt="one", tools=["end_call"])
    path = f"/agents/{made['agentId']}"
    assert (made["version"], made["config"]["prompt"], made["createdBy"]) == (1, "one", "u-1")
    assert made["config"]["agent_id"] == made["agentId"]

    read = await office.http.get(path)
    assert read.json() == made
    assert read.headers["etag"] == '"1"'

    changed = await put(office, made, {"agent_name": "Ada", "prompt": "two"})
    assert changed.status_code == 200, changed.text
    assert (changed.headers["etag"], changed.json()["version"]) == ('"2"', 2)
    assert changed.json()["config"]["tools"] == [], "the whole configuration, not a part"
    assert changed.json()["createdAt"] == made["createdAt"]
    assert (await office.http.get(path)).json() == changed.json()

    assert (await office.http.delete(path)).status_code == 204
    for again in (await office.http.get(path), await office.http.delete(path)):
        assert is_problem(again, 404, "not_found")


async def test_a_new_agent_has_its_place(office: Door) -> None:
    answer = await office.http.post("/agents", json={"config": {"agent_name": "x"}})
    assert answer.headers["location"] == f"/agents/{answer.json()['agentId']}"
    assert (await office.http.get(answer.headers["location"])).status_code == 200


async def test_lists_go_page_by_page(office: Door) -> None:
    key = {"x-api-key": OTHER_KEY}
    names = [f"agent {number}" for number in range(5)]
    for name in names:
        body = {"config": {"agent_name": name, "api_key": "canary"}}
        assert (await office.http.post("/agents", json=body, headers=key)).status_code == 201

    seen: list[str] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        page = await office.http.get("/agents", params={"limit": "2", **cursor}, headers=key)
        assert page.status_code == 200, page.text
        assert "canary" not in page.text
        seen += [agent["config"]["agent_name"] for agent in page.json()["agents"]]
        pages += 1
        if page.json()["nextCursor"] is None:
            break
        cursor = {"cursor": page.json()["nextCursor"]}
    assert sorted(seen) == names
    assert pages == 3

    wrong = await office.http.get("/agents", params={"cursor": "elsewhere"}, headers=key)
    assert is_problem(wrong, 422, "invalid_input")
    assert wrong.json()["errors"][0]["field"] == "cursor"


async def test_another_orgs_agent_looks_like_none(office: Door) -> None:
    made = await create(office, prompt="canary")
    path = f"/agents/{made['agentId']}"
    for method, place, body in (
        ("GET", path, None),
        ("PUT", path, {"config": {"agent_name": "theirs"}}),
        ("DELETE", path, None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/versions/1/restore", None),
    ):
        foreign = await office.http.request(method, place, json=body, headers=OTHER)
        never = await office.http.request(
            method, place.replace(made["agentId"], "never-there"), json=body, headers=OTHER
        )
        assert is_problem(foreign, 404, "not_found"), place
        told = [answer.json() | {"request_id": ""} for answer in (foreign, never)]
        assert str(told[0]).replace(made["agentId"], "…") == str(told[1]).replace(
            "never-there", "…"
        )
    assert made["agentId"] not in (await office.http.get("/agents", headers=OTHER)).text
    assert (await office.http.get(path)).json() == made


async def test_secrets_are_masked_and_a_mask_that_comes_back_keeps_them(office: Door) -> None:
    tool = {"name": "crm", "auth_token": "canary-2"}
    made = await create(office, api_key="canary-1", lyzr_tools=[tool])
    assert made["config"]["api_key"] == made["config"]["lyzr_tools"][0]["auth_token"] == MASK

    edited = made["config"] | {"prompt": "edited"}
    changed = await put(office, made, edited)
    assert changed.status_code == 200, changed.text
    assert "canary" not in changed.text

    await _starts_with(office, made["agentId"], apiKey="canary-1", lyzr_tools=[tool])
    cleared = {name: value for name, value in edited.items() if name != "api_key"}
    assert (await put(office, made, cleared)).status_code == 200
    await _starts_with(office, made["agentId"], apiKey=None, lyzr_tools=[tool])

    refused = await office.http.post(
        "/agents", json={"config": {"agent_name": "x", "api_key": MASK}}
    )
    assert is_problem(refused, 422, "invalid_input")
    assert refused.json()["errors"][0]["field"] == "config.api_key"


async def _starts_with(office: Door, agent_id: str, **expected: Any) -> None:
    """Start a session of an agent and compare what its agent worker gets."""
    call = office.studio.call()
    body = {
        "userIdentity": "caller",
        "sessionId": call.key.session_id,
        "roomName": call.request.room_name,
        "agentId": agent_id,
    }
    answer = await at_last(lambda: office.http.post("/session", json=body), late=202)
    assert answer.status_code == 200, answer.text
    assert "canary" not in answer.text
    [metadata] = office.studio.rooms.dispatched[call.room]
    sent = httpx.Response(200, text=metadata).json()
    assert {name: sent.get(name) for name in expected} == expected
    await call.end()
    await call.closed()


async def test_a_change_of_what_was_changed_meanwhile_is_refused(office: Door) -> None:
    made = await create(office, prompt="one")
    path = f"/agents/{made['agentId']}"
    config = {"agent_name": "Ada", "prompt": "two"}
    assert (await put(office, made, config, headers={"If-Match": '"1"'})).status_code == 200

    late = await put(office, made, config, headers={"If-Match": '"1"'})
    assert is_problem(late, 412, "precondition_failed")
    assert "at version 2" in late.json()["detail"]
    late = await put(office, made, config, body={"version": 1})
    assert is_problem(late, 409, "conflict")
    late = await office.http.delete(path, headers={"If-Match": '"1"'})
    assert is_problem(late, 412, "precondition_failed")
    late = await office.http.post(f"{path}/versions/1/restore", headers={"If-Match": '"1"'})
    assert is_problem(late, 412, "precondition_failed")
    assert (await office.http.get(path)).json()["version"] == 2

    assert (await put(office, made, config, body={"version": 2})).status_code == 200
    assert (await put(office, made, config, headers={"If-Match": "*"})).status_code == 200
    gone = await office.http.delete(path, headers={"If-Match": '"4"'})
    assert gone.status_code == 204


@pytest.mark.parametrize(
    ("header", "status"), [("3", 422), ('"x"', 422), ('W/"1"', 412), ('"0"', 422), ("", 422)]
)
async def test_an_if_match_that_is_none_of_ours(office: Door, header: str, status: int) -> None:
    made = await create(office)
    answer = await put(office, made, {"agent_name": "x"}, headers={"If-Match": header})
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["field"] == "If-Match"


async def test_versions_are_kept_and_can_be_restored(office: Door) -> None:
    made = await create(office, prompt="one", api_key="canary")
    path = f"/agents/{made['agentId']}"
    for prompt in ("two", "three"):
        changed = await put(office, made, {"agent_name": "Ada", "prompt": prompt})
        assert changed.status_code == 200

    listed = (await office.http.get(f"{path}/versions", params={"limit": 2})).json()
    assert [one["version"] for one in listed["versions"]] == [3, 2]
    further = await office.http.get(f"{path}/versions", params={"cursor": listed["nextCursor"]})
    assert [one["version"] for one in further.json()["versions"]] == [1]
    assert further.json()["nextCursor"] is None
    first = (await office.http.get(f"{path}/versions/1")).json()
    assert (first["config"]["prompt"], first["config"]["api_key"]) == ("one", MASK)

    restored = await office.http.post(f"{path}/versions/1/restore")
    assert restored.status_code == 200, restored.text
    answer = restored.json()
    assert (answer["version"], answer["restoredFrom"], answer["config"]["prompt"]) == (4, 1, "one")
    assert restored.headers["etag"] == '"4"'
    await _starts_with(office, made["agentId"], apiKey="canary", prompt="one")

    missing = await office.http.get(f"{path}/versions/9")
    assert is_problem(missing, 404, "not_found")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config.agent_name"),
        ({"agent_name": ""}, "config.agent_name"),
        ({"agent_name": "x", "promt": "typo"}, "config.promt"),
        ({"agent_name": "x", "engine": {"llm": "openai/gpt-5-nano"}}, "config.engine.llm"),
        ({"agent_name": "x", "engine": {"stt": "nosuch/model"}}, "config.engine.stt"),
        (
            {"agent_name": "x", "avatar": {"enabled": True, "provider": "nope"}},
            "config.avatar.provider",
        ),
        ({"agent_name": "x", "avatar": {"enabled": True}}, "config.avatar.anam.avatarId"),
    ],
)
async def test_what_could_not_start_a_session_is_not_saved(
    office: Door, config: JSON, field: str
) -> None:
    made = await create(office)
    for answer in (
        await office.http.post("/agents", json={"config": config}),
        await put(office, made, config),
    ):
        assert is_problem(answer, 422, "invalid_input")
        assert answer.json()["errors"][0]["field"] == field
    assert (await office.http.get(f"/agents/{made['agentId']}")).json() == made


async def test_what_is_odd_is_reported_and_saved(office: Door) -> None:
    made = await create(office, tools=["fly"], agent_id="mine")
    assert [warning["field"] for warning in made["warnings"]] == ["tools", "agent_id"]
    assert made["config"]["tools"] == ["fly"], "a later version may know it"


async def test_without_mongodb_every_route_says_so(door: Door) -> None:
    async with open_door(door.studio, without_mongodb(door.deps), KEY) as bare:
        for method, path in (
            ("GET", "/agents"),
            ("POST", "/agents"),
            ("GET", "/agents/x"),
            ("PUT", "/agents/x"),
            ("DELETE", "/agents/x"),
            ("GET", "/agents/x/versions"),
            ("GET", "/agents/x/versions/1"),
            ("POST", "/agents/x/versions/1/restore"),
        ):
            answer = await bare.http.request(method, path, json={"config": {"agent_name": "x"}})
            assert is_problem(answer, 503, "storage_unavailable"), path
            assert "MONGODB_URI" in answer.json()["errors"][0]["cure"]
            assert int(answer.headers["retry-after"]) > 0
        started = await bare.http.post("/session", json={"userIdentity": "c", "agentId": "x"})
        assert is_problem(started, 503, "storage_unavailable")
        assert started.json()["errors"][0]["field"] == "agentId"
