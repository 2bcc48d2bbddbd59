"""No org reads, changes or learns of another's data, by any route and any id.

The requests are made from the route table (the OpenAPI document), so a new route is covered by
being there; one with an id of a new kind fails here until this test knows such an id.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from domain.access.principal import Principal
from domain.ids import SessionKey
from domain.transcripts.summary import Summary, SummaryStatus
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from tests.api.door import at_last
from tests.api.house import House, Tenant, unique
from tests.waiting import eventually

JSON = dict[str, Any]

SECRET_WORDS = {
    "turn": "the-words-of-annas-caller",
    "summary": "the-summary-of-annas-call",
    "user": "anna-of-the-victim",
    "prompt": "the-prompt-of-annas-agent",
    "key": "the-name-of-annas-key",
    "webhook": "the-webhook-of-annas-org",
}
"""What only the victim may see."""


@dataclass(frozen=True)
class Operation:
    """One operation of the route table."""

    method: str
    path: str
    body: JSON | None
    """Schema of its body."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path_parameters(self) -> list[str]:
        return re.findall(r"{([^}]+)}", self.path)


@dataclass(frozen=True)
class Victim:
    """An org with one of everything."""

    org: str
    tenant: Tenant
    session: SessionKey
    room: str
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """Its ids by the names of parameters and fields, in lower case without underscores."""


def operations(app: FastAPI) -> list[Operation]:
    """What needs an API key; agents' and LiveKit's own routes name no session but their token's."""
    document = app.openapi()
    found: list[Operation] = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if {"ApiKey": []} not in operation.get("security", ()):
                continue
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            body = _resolved(schema, document) if schema else None
            found.append(Operation(method.upper(), path, body))
    return found


def _resolved(schema: JSON, document: JSON) -> JSON:
    """A schema without references, as far as an example needs it."""
    if "$ref" in schema:
        target = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return _resolved(target, document)
    resolved = dict(schema)
    if "properties" in schema:
        required = schema.get("required", [])
        resolved["properties"] = {
            name: _resolved(one, document) if name in required else one
            for name, one in schema["properties"].items()
        }
    if "items" in schema:
        resolved["items"] = _resolved(schema["items"], document)
    if "anyOf" in schema:
        resolved["anyOf"] = [_resolved(schema["anyOf"][0], document)]
    return resolved


def example(schema: JSON) -> Any:
    """A value that the schema allows, with what is required and nothing else."""
    kind = schema.get("type")
    if "anyOf" in schema and kind is None:
        return example(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        properties: JSON = schema.get("properties", {})
        return {name: example(properties[name]) for name in schema.get("required", ())}
    if kind == "array":
        return [example(schema["items"]) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return False
    return "x" * max(schema.get("minLength", 1), 1)


def plain(name: str) -> str:
    """A parameter's name, whatever its style."""
    return name.replace("_", "").lower()


# ── the victim ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def victim(house: House) -> Victim:
    org = unique("victim")
    created = await house.key(org, name=SECRET_WORDS["key"], user_id=SECRET_WORDS["user"])
    async with house.open() as app:
        tenant = Tenant(app, created)
    session = SessionKey(org, unique("call"))
    room = unique("room")
    started = await tenant.start(session.session_id, room_name=room)
    assert started.status_code == 202, started.text
    # What others might change is compared later, so it has to be there.
    await eventually(lambda: f"{org}.{room}" in house.rooms.rooms, what="its room")
    await _fill_archive(house, session)
    agent = await tenant.http.post(
        "/agents",
        json={"config": {"agent_name": "Anna's", "prompt": SECRET_WORDS["prompt"]}},
    )
    assert agent.status_code < 300, agent.text
    webhook = await tenant.http.post(
        "/v1/webhooks",
        # Nothing listens there; what is tested is who sees it.
        json={"url": "http://127.0.0.1:9/x", "description": SECRET_WORDS["webhook"]},
    )
    assert webhook.status_code == 201, webhook.text
    delivery = await tenant.http.post(f"/v1/webhooks/{webhook.json()['webhook_id']}/test")
    assert delivery.status_code == 202, delivery.text
    [key] = await house.archive.api_keys.list_keys(org)
    ids = {
        "sessionid": session.session_id,
        "roomname": f"{org}.{room}",
        "agentid": agent.json()["agentId"],
        "prefix": key.prefix,
        "webhookid": webhook.json()["webhook_id"],
        "deliveryid": delivery.json()["delivery_id"],
    }
    return Victim(org, tenant, session, f"{org}.{room}", ids)


async def _fill_archive(house: House, session: SessionKey) -> None:
    now = datetime.now(UTC)
    turn = Turn(
        item_id="item",
        attempt=1,
        seq=0,
        role=Role.USER,
        text=SECRET_WORDS["turn"],
        created_at=now,
    )
    transcripts = Transcripts(house.archive.transcripts)
    await transcripts.record_turns(session, [turn], now)
    await transcripts.seal(session, None, 1, now)
    await house.archive.summaries.put(
        Summary(
            org=session.org,
            session_id=session.session_id,
            status=SummaryStatus.READY,
            text=SECRET_WORDS["summary"],
            updated_at=now,
        )
    )


async def everything_of(house: House, victim: Victim) -> JSON:
    """All that others might have changed."""
    status = await victim.tenant.http.get(f"/v1/sessions/{victim.session.session_id}")
    agents = await victim.tenant.http.get("/agents")
    keys = await house.archive.api_keys.list_keys(victim.org)
    webhooks: list[JSON] = (await victim.tenant.http.get("/v1/webhooks")).json()["webhooks"]
    return {
        "state": {name: status.json()[name] for name in ("ended_at", "reason", "user_id")},
        "turns": [
            turn.model_dump() for turn in await house.archive.transcripts.turns(victim.session)
        ],
        "summary": await house.archive.summaries.get(victim.session),
        "agents": agents.json(),
        "keys": [key.model_dump(exclude={"last_used_at"}) for key in keys],
        # Its own test delivery fails meanwhile, and that may show.
        "webhooks": [{**one, "failing_since": None} for one in webhooks],
        "room": victim.room in house.rooms.rooms,
    }


# ── the others ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Try:
    """One request with an id of the victim, and the same with one that nobody has."""

    operation: Operation
    foreign: JSON
    unknown: JSON
    """Path parameters and the body's id, by their own names."""
    in_body: str | None


def tries(found: list[Operation], victim: Victim) -> Iterator[Try]:
    for operation in found:
        foreign = {name: _id(victim, operation, name) for name in operation.path_parameters}
        unknown = {name: _nobodys(value) for name, value in foreign.items()}
        names: list[str] = list((operation.body or {}).get("properties", {}))
        in_body = [name for name in names if plain(name) in victim.ids]
        if foreign or not in_body:
            yield Try(operation, foreign, unknown, None)
        for name in in_body:
            ours = {name: victim.ids[plain(name)]}
            yield Try(operation, foreign | ours, unknown | {name: _nobodys(ours[name])}, name)


def _id(victim: Victim, operation: Operation, name: str) -> str:
    if plain(name) == "version":
        return "1"
    assert plain(name) in victim.ids, (
        f"{operation.name}: give the victim one of what {{{name}}} names, and its id here"
    )
    return victim.ids[plain(name)]


def _nobodys(value: str) -> str:
    return value if value == "1" else value[:-1] + ("x" if value[-1] != "x" else "y")


async def send(
    tenant: Tenant, operation: Operation, given: JSON, in_body: str | None
) -> httpx.Response:
    path = operation.path.format(**given)
    body = None if operation.body is None else example(operation.body)
    if in_body and body is not None:
        body[in_body] = given[in_body]
    # A start says 202 if its dispatch takes longer than usual.
    late = 202 if operation.name in ("POST /session", "POST /v1/sessions/start") else None
    return await at_last(lambda: tenant.http.request(operation.method, path, json=body), late)


def without_ids(answer: httpx.Response, given: JSON) -> str:
    """The body with what the request named itself taken out."""
    problem: JSON = answer.json()
    problem.pop("request_id", None)
    text = json.dumps(problem)
    for value in given.values():
        text = text.replace(value, "ID")
    return text


@pytest.mark.timeout(400)
async def test_every_route_with_every_id_of_the_other(house: House, victim: Victim) -> None:
    before = await everything_of(house, victim)
    async with house.open() as app:
        found = operations(app)
        assert len(found) > 20, "the route table was not read"
        for number, one in enumerate(tries(found, victim)):
            # An org of its own each time: one request must not make the next one's ids its own.
            org = unique(f"other-{number}")
            scopes = ("read", "write", "keys")
            other = Tenant(app, await house.key(org, scopes=scopes))
            foreign = await send(other, one.operation, one.foreign, one.in_body)
            unknown = await send(other, one.operation, one.unknown, one.in_body)
            _check(one, victim, foreign, unknown)
    assert await everything_of(house, victim) == before


def _check(one: Try, victim: Victim, foreign: httpx.Response, unknown: httpx.Response) -> None:
    about = f"{one.operation.name} {one.in_body or ''}: {foreign.status_code} {foreign.text}"
    assert foreign.status_code < 500, about
    assert foreign.status_code == unknown.status_code, f"{about}\n{unknown.status_code}"
    sent = " ".join(str(value) for value in one.foreign.values())
    told = [*SECRET_WORDS.values(), victim.org, *victim.ids.values()]
    for word in told:
        assert word not in foreign.text or word in sent, about
    if one.operation.path_parameters:
        assert foreign.status_code == 404, about
    if foreign.status_code >= 400:
        assert without_ids(foreign, one.foreign) == without_ids(unknown, one.unknown), about


async def test_the_victim_itself_sees_it_all(victim: Victim) -> None:
    """Otherwise the test above would prove nothing."""
    session = f"/v1/sessions/{victim.session.session_id}"
    http = victim.tenant.http
    assert SECRET_WORDS["turn"] in (await http.get(f"{session}/turns")).text
    assert SECRET_WORDS["summary"] in (await http.get(f"{session}/summary")).text
    assert SECRET_WORDS["user"] in (await http.get(session)).text
    assert SECRET_WORDS["prompt"] in (await http.get(f"/agents/{victim.ids['agentid']}")).text
    assert SECRET_WORDS["webhook"] in (await http.get("/v1/webhooks")).text
    delivery = f"/v1/webhooks/deliveries/{victim.ids['deliveryid']}"
    assert (await http.get(delivery)).json()["webhook_id"] == victim.ids["webhookid"]


async def test_an_admin_without_the_header_sees_no_more_than_anybody(
    house: House, victim: Victim
) -> None:
    async with house.open() as app:
        admin = Tenant(app, await house.key(unique("root"), is_admin=True))
        path = f"/v1/sessions/{victim.session.session_id}"
        assert (await admin.http.get(path)).status_code == 404
        answer = await admin.http.get(path, headers={"x-org-id": victim.org})
        assert answer.status_code == 200


def test_a_principal_has_exactly_one_org() -> None:
    assert Principal.model_fields["org"].annotation is str
    assert Principal.model_fields["org"].is_required()
