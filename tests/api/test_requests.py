"""Requests that are wrong: each is told what is wrong, where, and how to do it right."""

import json

import pytest

from domain.ids import SessionKey
from tests.api.door import JSON, Door, is_problem
from tests.harness.agent_callbacks import report

DEEP = json.loads('{"deeper":' * 100 + "1" + "}" * 100)
LARGE = {str(number): "x" * 10_000 for number in range(60)}

WRONG: list[tuple[str, JSON, str]] = [
    ("/session", {}, "userIdentity"),
    ("/session", {"userIdentity": ""}, "userIdentity"),
    ("/session", {"userIdentity": "everline-listener-1"}, "userIdentity"),
    ("/v1/sessions/start", {"user_identity": "agent-AJ_x"}, "user_identity"),
    ("/session", {"userIdentity": "c", "sessionId": "a b"}, "sessionId"),
    ("/session", {"userIdentity": "c", "sessionId": "x" * 129}, "sessionId"),
    ("/session", {"userIdentity": "c", "roomName": "../other"}, "roomName"),
    ("/session", {"userIdentity": "c", "roomname": "typo"}, "roomname"),
    ("/session", {"userIdentity": "c", "agentConfig": {"promt": "x"}}, "agentConfig.promt"),
    (
        "/session",
        {"userIdentity": "c", "agentConfig": {"engine": {"kind": "magic"}}},
        "agentConfig.engine.kind",
    ),
    ("/session", {"userIdentity": "c", "limits": {"join_attempts": 0}}, "limits.join_attempts"),
    ("/session", {"userIdentity": "c", "limits": {"max_duration": 1e9}}, "limits.max_duration"),
    ("/session", {"userIdentity": "c", "limits": {"max_durations": 60}}, "limits.max_durations"),
    ("/v1/sessions/start", {"limits": {"max_durations": 60}}, "limits.max_durations"),
    ("/session", {"userIdentity": "c", "agentConfig": {"avatar": DEEP}}, "agentConfig"),
    (
        "/session",
        {"userIdentity": "c", "agentConfig": {"dynamic_variables": LARGE}},
        "agentConfig",
    ),
    ("/session", {"userIdentity": "Ann\x00"}, "userIdentity"),
    ("/session", {"userIdentity": "Ann\nBob"}, "userIdentity"),
    ("/session", {"userIdentity": "nnA\u202e"}, "userIdentity"),
    ("/session", {"userIdentity": "\u2066Ann"}, "userIdentity"),
    ("/session", {"userIdentity": "Ann\u2028"}, "userIdentity"),
    ("/session", {"userIdentity": "Ann\ufeff"}, "userIdentity"),
    ("/v1/sessions/start", {"user_identity": "\x1b[31mAnn"}, "user_identity"),
    ("/v1/sessions/start", {"user_identity": "Ann\x7f"}, "user_identity"),
    ("/session/end", {}, "body"),
    ("/v1/sessions/start", {"user_identity": 7}, "user_identity"),
    ("/v1/sessions/any/extend", {"seconds": 60, "minutes": 1}, "minutes"),
    ("/v1/sessions/any/turns", {"turns": []}, "turns"),
    ("/v1/sessions/any/turns", {"turns": [{"role": "robot", "text": "x"}]}, "turns.0.role"),
    ("/v1/sessions/any/turns", {"turns": [{"role": "user", "text": "x" * 64_001}]}, "turns.0.text"),
    ("/v1/sessions/any/turns", {"turns": [{"role": "user", "text": "x"}], "turnz": 1}, "turnz"),
]

NESTED: list[tuple[str, JSON, set[str]]] = [
    (
        "/v1/sessions/start",
        {"agent_config": {"background_audio": {"ambient": {"source": "office"}}}},
        {
            "agent_config.background_audio.ambient",
            "agent_config.background_audio.ambient.source",
        },
    ),
    (
        "/v1/sessions/start",
        {"agent_config": {"background_audio": {"ambient": {"clip": "office", "volume": 2}}}},
        {
            "agent_config.background_audio.ambient",
            "agent_config.background_audio.ambient.volume",
        },
    ),
    (
        "/v1/sessions/any/turns",
        {"turns": [{"role": "user", "text": "x", "metrics": {"body": []}}]},
        {"turns.0.metrics.body"},
    ),
    ("/v1/sessions/any/turns", {"turns": [{"role": "user"}]}, {"turns.0.text"}),
    ("/v1/sessions/any/turns", {"turns": {"text": "x"}}, {"turns"}),
]
"""Each with all the fields that are named."""


@pytest.mark.parametrize(("path", "body", "field"), WRONG, ids=[f"{w[0]} {w[2]}" for w in WRONG])
async def test_a_wrong_field_is_named(door: Door, path: str, body: JSON, field: str) -> None:
    answer = await door.http.post(path, json=body)

    assert is_problem(answer, 422, "invalid_input")
    assert field in [fault["field"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(("path", "body", "fields"), NESTED)
async def test_only_what_is_in_the_body_or_missing_there_is_named(
    door: Door, path: str, body: JSON, fields: set[str]
) -> None:
    answer = await door.http.post(path, json=body)

    assert is_problem(answer, 422, "invalid_input")
    assert {fault["field"] for fault in answer.json()["errors"]} == fields


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"attempt": "1"}, "attempt"),
        ({"attempt": 0, "error": "an error"}, "attempt"),
    ],
)
async def test_a_report_without_a_valid_attempt_is_refused(
    keyless: Door, wrong: JSON, field: str
) -> None:
    answer = await keyless.http.post(
        "/session/observability",
        json=report() | wrong,
        headers=keyless.as_agent(SessionKey("acme", "typed")),
    )

    assert is_problem(answer, 422, "invalid_input")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_an_agent_of_a_newer_everline_may_send_further_fields(keyless: Door) -> None:
    turn = {"role": "user", "text": "Hello", "item_id": "i", "mood": "well"}

    answer = await keyless.http.post(
        "/v1/sessions/newer/turns",
        json={"turns": [turn], "of": "1.2"},
        headers=keyless.as_agent(SessionKey("acme", "newer")),
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["stored"] == 1


async def test_all_faults_are_told_at_once(door: Door) -> None:
    body = {"agentConfig": {"promt": "x", "vad_enabled": "perhaps"}, "limits": {"join_timeout": 0}}

    answer = await door.http.post("/session", json=body)

    fields = {fault["field"] for fault in answer.json()["errors"]}
    assert fields == {
        "userIdentity",
        "agentConfig.promt",
        "agentConfig.vad_enabled",
        "limits.join_timeout",
    }


async def test_what_was_sent_is_not_repeated_in_the_answer(door: Door) -> None:
    body = {"userIdentity": {"secret": "canary-1"}, "agentConfig": {"api_key": ["canary-2"]}}

    answer = await door.http.post("/session", json=body)

    assert answer.status_code == 422
    assert "canary" not in answer.text


async def test_a_body_that_is_no_json(door: Door) -> None:
    answer = await door.http.post(
        "/session", content=b"{nonsense", headers={"content-type": "application/json"}
    )

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert fault["field"] == "body"
    assert "at character 1" in fault["reason"]


async def test_a_fault_has_the_names_of_the_routes_own_fields(door: Door) -> None:
    started = await door.http.post("/v1/sessions/start", json={"agent_id": "nobody"})
    assert [fault["field"] for fault in started.json()["errors"]] == ["agent_id"]

    unknown = await door.http.get("/v1/sessions/nobody")
    assert [fault["field"] for fault in unknown.json()["errors"]] == ["session_id"]
    ended = await door.http.post("/session/end", json={"sessionId": "nobody"})
    assert [fault["field"] for fault in ended.json()["errors"]] == ["sessionId"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"model": "openai/\ud800"}', "model"),
        (r'{"agent_config": {"avatar": {"look": "\ud800"}}}', "agent_config"),
        (r'{"agent_config": {"avatar": {"\ud800": 1}}}', "agent_config"),
        ('{"agent_config": {"avatar": {"size": NaN}}}', "agent_config"),
        ('{"agent_config": {"avatar": {"size": 1e999}}}', "agent_config"),
    ],
)
async def test_what_nobody_else_could_read_is_refused(door: Door, body: str, field: str) -> None:
    answer = await door.http.post(
        "/v1/sessions/start", content=body, headers={"content-type": "application/json"}
    )

    assert is_problem(answer, 422, "invalid_input")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_json_of_another_content_type(door: Door, content_type: str) -> None:
    answer = await door.http.post(
        "/v1/sessions/start", content=b"{}", headers={"content-type": content_type}
    )

    assert is_problem(answer, 422, "invalid_input")
    [fault] = answer.json()["errors"]
    assert (fault["field"], "application/json" in fault["cure"]) == ("body", True)


async def test_a_stage_that_there_is_not(door: Door) -> None:
    answer = await door.http.post(
        "/session", params={"wait": "forever"}, json={"userIdentity": "c"}
    )

    assert is_problem(answer, 422, "invalid_input")
    assert answer.json()["errors"][0]["field"] == "wait"


async def test_paths_and_methods_that_there_are_not(door: Door) -> None:
    missing = await door.http.get("/nowhere")
    wrong = await door.http.delete("/session")

    assert is_problem(missing, 404, "not_found")
    assert is_problem(wrong, 405, "method_not_allowed")


async def test_a_slash_at_the_end_changes_nothing(door: Door) -> None:
    """The seed service takes it; a redirect would name a scheme that a proxy may have changed."""
    answers = [await door.http.get(path) for path in ("/health/", "/agents/", "/nowhere/")]
    wrong = await door.http.post("/session/", json={})

    assert [answer.status_code for answer in answers] == [200, 503, 404]
    assert is_problem(wrong, 422, "invalid_input")


async def test_a_large_body_is_refused_whether_it_says_so_or_not(door: Door) -> None:
    large = json.dumps({"userIdentity": "x" * (4 * 1024 * 1024)}).encode()

    async def in_pieces():
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    declared = await door.http.post("/session", content=large)
    streamed = await door.http.post(
        "/session", content=in_pieces(), headers={"content-type": "application/json"}
    )

    assert is_problem(declared, 413, "content_too_large")
    assert is_problem(streamed, 413, "content_too_large")


async def test_every_answer_carries_the_requests_id(door: Door) -> None:
    given = await door.http.get("/health", headers={"x-request-id": "mine-1"})
    made = await door.http.get("/health")
    problem = await door.http.post("/session", json={}, headers={"x-request-id": "mine-2"})

    assert given.headers["x-request-id"] == "mine-1"
    assert len(made.headers["x-request-id"]) == 32
    assert problem.json()["request_id"] == "mine-2"


async def test_the_openapi_document_tells_the_contract(door: Door) -> None:
    document = (await door.http.get("/openapi.json")).json()

    paths = document["paths"]
    assert {
        "/session",
        "/session/end",
        "/session/observability",
        "/v1/sessions/start",
        "/v1/sessions/{session_id}",
        "/v1/sessions/{session_id}/end",
        "/v1/sessions/{session_id}/turns",
        "/v1/sessions/{session_id}/summary",
        "/v1/sessions/{session_id}/events",
        "/v1/livekit/webhook",
        "/health",
        "/health/agent",
    } <= paths.keys()
    names = [op["operationId"] for methods in paths.values() for op in methods.values()]
    assert len(names) == len(set(names)), "every operation has a name of its own"
    for reference in _references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind], reference
    problem = paths["/session"]["post"]["responses"]["409"]["content"]
    assert problem["application/problem+json"]["schema"]


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        found = {str(value) for key, value in node.items() if key == "$ref"}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType] - JSON
        return found.union(*map(_references, node.values()))  # pyright: ignore[reportUnknownArgumentType] - JSON
    if isinstance(node, list):
        return set[str]().union(*map(_references, node))  # pyright: ignore[reportUnknownArgumentType] - JSON
    return set()
