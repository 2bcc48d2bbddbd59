"""Misspelt names are refused with the name that was probably meant; nothing sent is ignored."""

from typing import Any

import pytest

from domain.ids import SessionKey
from tests.api.door import JSON, Door, is_problem

QUERIES = [
    ("GET", "/v1/sessions?stat=live", "stat", "did you mean `state`?"),
    ("GET", "/v1/sessions?startedAfter=2030-01-01T00:00:00Z", "startedAfter", "`started_after`"),
    ("GET", "/v1/sessions?limits=3", "limits", "did you mean `limit`?"),
    ("GET", "/v1/sessions?colour=red", "colour", "use one of: "),
    ("GET", "/agents?cursr=x", "cursr", "did you mean `cursor`?"),
    ("GET", "/agents/any/versions?Limit=3", "Limit", "did you mean `limit`?"),
    ("GET", "/api/transcripts?userid=u", "userid", "did you mean `userId`?"),
    ("GET", "/v1/webhooks/deliveries?webhook=w", "webhook", "did you mean `webhook_id`?"),
    ("GET", "/v1/sessions/any?wait=joined", "wait", "leave it out"),
    ("GET", "/config/tools?kind=llm", "kind", "leave it out"),
    ("POST", "/v1/sessions/start?wiat=joined", "wiat", "did you mean `wait`?"),
    ("POST", "/session?wait=joined&Wait=joined", "Wait", "did you mean `wait`?"),
]


@pytest.mark.parametrize(("method", "path", "name", "cure"), QUERIES)
async def test_a_query_parameter_that_there_is_not(
    door: Door, method: str, path: str, name: str, cure: str
) -> None:
    answer = await door.http.request(method, path, json={} if method == "POST" else None)

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == name
    assert cure in fault["cure"]


async def test_all_of_them_are_named_and_no_value_is_repeated(door: Door) -> None:
    answer = await door.http.get("/v1/sessions?stat=canary&agnt=canary&limit=0")

    faults = {one["field"]: one["cure"] for one in answer.json()["errors"]}
    assert faults == {"stat": "did you mean `state`?", "agnt": "did you mean `agent`?"}
    assert "canary" not in answer.text


async def test_a_request_without_a_key_learns_nothing_of_it(keyless: Door) -> None:
    assert is_problem(await keyless.http.get("/v1/sessions?stat=x"), 401, "unauthenticated")


async def test_machines_may_add_parameters(door: Door, keyless: Door) -> None:
    assert (await door.http.get("/health?probe=1")).status_code == 200
    answer = await keyless.http.post(
        "/v1/sessions/newer/turns?of=1.2",
        json={"turns": [{"role": "user", "text": "Hello", "item_id": "i"}]},
        headers=keyless.as_agent(SessionKey("acme", "newer-query")),
    )
    assert answer.status_code != 422, answer.text


def start(**config: Any) -> JSON:
    return {"agent_config": config}


FIELDS: list[tuple[str, JSON, str, str]] = [
    ("/v1/sessions/start", start(promt="x"), "agent_config.promt", "did you mean `prompt`?"),
    ("/v1/sessions/start", {"promt": "x"}, "promt", "leave it out"),
    ("/v1/sessions/start", {"prompt": "x"}, "prompt", "did you mean `agent_config.prompt`?"),
    ("/v1/sessions/start", {"max_duration": 60}, "max_duration", "`limits.max_duration`"),
    ("/v1/sessions/start", {"userIdentity": "c"}, "userIdentity", "did you mean `user_identity`?"),
    (
        "/v1/sessions/start",
        {"limits": {"max_durations": 60}},
        "limits.max_durations",
        "did you mean `max_duration`?",
    ),
    (
        "/v1/sessions/start",
        start(engine={"lmm": "openai/gpt-4.1"}),
        "agent_config.engine.lmm",
        "did you mean `llm`?",
    ),
    (
        "/v1/sessions/start",
        start(http_tools=[{"name": "a", "description": "b", "ulr": "https://c.test"}]),
        "agent_config.http_tools.0.ulr",
        "did you mean `url`?",
    ),
    (
        "/v1/sessions/start",
        start(background_audio={"ambient": {"clip": "office", "volum": 1}}),
        "agent_config.background_audio.ambient.volum",
        "did you mean `volume`?",
    ),
    ("/session", {"userIdentity": "c", "roomname": "x"}, "roomname", "did you mean `roomName`?"),
    ("/session", {"userIdentity": "c", "agent_id": "x"}, "agent_id", "did you mean `agentId`?"),
    ("/session/end", {"room_name": "x"}, "room_name", "did you mean `roomName`?"),
    ("/v1/sessions/any/extend", {"seconds": 1, "second": 1}, "second", "did you mean `seconds`?"),
    ("/v1/webhooks", {"url": "https://a.test", "event": []}, "event", "did you mean `events`?"),
]


@pytest.mark.parametrize(("path", "body", "field", "cure"), FIELDS)
async def test_a_field_that_there_is_not(
    door: Door, path: str, body: JSON, field: str, cure: str
) -> None:
    answer = await door.http.post(path, json=body)

    assert is_problem(answer, 422, "invalid_input")
    [fault] = [one for one in answer.json()["errors"] if one["field"] == field]
    assert cure in fault["cure"]
    assert fault["reason"] == "there is no such name here"


@pytest.mark.parametrize(
    ("path", "body", "cure"),
    [
        ("/v1/sessions/start?wait=join", {}, "did you mean 'joined'?"),
        ("/v1/sessions/start", start(engine={"kind": "realtme"}), "did you mean 'realtime'?"),
        ("/v1/webhooks", {"url": "https://a", "events": ["session.end"]}, "'session.ended'?"),
    ],
)
async def test_a_value_that_there_is_not(door: Door, path: str, body: JSON, cure: str) -> None:
    answer = await door.http.post(path, json=body)

    assert is_problem(answer, 422, "invalid_input")
    assert cure in answer.json()["errors"][0]["cure"]


@pytest.mark.parametrize("path", ["/v1/sessions/start", "/session", "/session/end", "/agents"])
@pytest.mark.parametrize(
    ("content_type", "told"),
    [(None, "no Content-Type"), ("text/plain", "Content-Type 'text/plain'")],
)
async def test_a_body_without_the_content_type_of_json(
    door: Door, path: str, content_type: str | None, told: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await door.http.post(path, content=b'{"promt": 1}', headers=headers)

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == "body"
    assert fault["reason"] == f"the body was sent with {told}, so it was not read as JSON"
    assert fault["cure"] == "send valid JSON with the header Content-Type: application/json"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the request has no body"), (b"[]", "must be a JSON object"), (b"7", "a JSON object")],
)
async def test_a_body_that_is_no_object(door: Door, content: bytes, reason: str) -> None:
    answer = await door.http.post(
        "/v1/sessions/start", content=content, headers={"content-type": "application/json"}
    )

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert reason in fault["reason"]
    assert "Content-Type: application/json" in fault["cure"]


async def test_what_must_be_an_object_or_a_list_is_said_in_json(door: Door) -> None:
    body: JSON = {"agent_config": {"engine": "fast", "tools": "end_call", "dynamic_variables": []}}
    answer = await door.http.post("/v1/sessions/start", json=body)

    reasons = {one["field"]: one["reason"] for one in answer.json()["errors"]}
    assert reasons == {
        "agent_config.engine": "must be a JSON object",
        "agent_config.tools": "must be a JSON array",
        "agent_config.dynamic_variables": "must be a JSON object",
    }
