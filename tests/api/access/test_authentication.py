"""Every route but the health checks needs a key or a token; new ones are covered by being there."""

import re

import pytest

from domain.ids import SessionKey
from tests.api.door import KEY, OTHER_KEY, Door, is_problem
from tests.harness.agent_callbacks import report

PUBLIC = {
    ("GET", "/health"),
    ("GET", "/health/agent"),
    ("GET", "/config/tools"),
    ("GET", "/config/realtime-options"),
    ("GET", "/config/pipeline-options"),
}


def _guarded(door: Door) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, object]] = door.app.openapi()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert set(found) > PUBLIC
    return [(method, re.sub(r"{[^}]*}", "x", path)) for method, path in sorted({*found} - PUBLIC)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "evk_nobody_1234567890123456"},
        {"x-api-key": KEY + "x"},
        {"Authorization": "Bearer evcb_forged.forged"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic YTpi"},
    ],
    ids=["nothing", "empty", "unknown", "nearly", "forged", "no token", "key as token", "basic"],
)
async def test_nothing_is_done_without_a_right_key(keyless: Door, headers: dict[str, str]) -> None:
    guarded = _guarded(keyless)
    assert len(guarded) > 10, "the route table was not read"
    known = keyless.studio.rooms.known()

    for method, path in guarded:
        answer = await keyless.http.request(method, path, json={}, headers=headers)
        assert is_problem(answer, 401, "unauthenticated"), f"{method} {path}"

    assert keyless.studio.rooms.known() == known


async def test_a_refusal_says_how_to_do_it_right(door: Door) -> None:
    answer = await door.http.post("/session", json={}, headers={"x-api-key": ""})

    assert answer.json()["errors"] == [
        {
            "field": "x-api-key",
            "reason": "this route needs an API key",
            "cure": "send your key in the x-api-key header",
        }
    ]
    assert answer.headers["www-authenticate"] == "ApiKey"


async def test_an_expired_token_is_told_from_a_forged_one(keyless: Door) -> None:
    key = SessionKey("acme", "any")
    for path, body in (
        ("/v1/agent/ready", {"attempt": 1, "job_id": "j", "identity": "a"}),
        ("/v1/agent/failed", {"event_id": "e", "attempt": 1, "reason": "r"}),
        ("/session/observability", {"attempt": 1}),
        ("/v1/sessions/any/turns", {"turns": [{"role": "user", "text": "x"}]}),
    ):
        answer = await keyless.http.post(
            path, json=body, headers=keyless.as_agent(key, lifetime=-1)
        )
        assert is_problem(answer, 403, "forbidden"), path


async def test_a_token_speaks_for_its_own_attempt_and_session_alone(keyless: Door) -> None:
    token = keyless.as_agent(SessionKey("acme", "mine"))
    other = report(attempt=1, turns=[_turn(2)])
    for path, body in (
        ("/v1/agent/ready", {"attempt": 2, "job_id": "j", "identity": "a"}),
        ("/v1/agent/failed", {"event_id": "e", "attempt": 2, "reason": "r"}),
        ("/session/observability", report(attempt=2)),
        ("/session/observability", other),
        ("/v1/sessions/mine/turns", {"turns": [_turn(2)]}),
        ("/v1/sessions/other/turns", {"turns": [_turn(1)]}),
    ):
        answer = await keyless.http.post(path, json=body, headers=token)
        assert is_problem(answer, 403, "forbidden"), (path, body)
    foreign = await keyless.http.get("/v1/sessions/other/turns", headers=token)
    assert is_problem(foreign, 403, "forbidden")


def _turn(attempt: int) -> dict[str, object]:
    return {
        "item_id": "i",
        "attempt": attempt,
        "seq": 0,
        "role": "user",
        "text": "x",
        "created_at": "2026-03-01T12:00:00Z",
    }


async def test_another_org_sees_nothing(door: Door) -> None:
    call = await door.live()
    session = call.key.session_id
    other = {"x-api-key": OTHER_KEY}

    for method, path, body in (
        ("GET", f"/v1/sessions/{session}", None),
        ("GET", f"/v1/sessions/{session}/turns", None),
        ("GET", f"/v1/sessions/{session}/summary", None),
        ("GET", f"/v1/sessions/{session}/events", None),
        ("POST", f"/v1/sessions/{session}/end", None),
        ("POST", f"/v1/sessions/{session}/turns", {"turns": [_turn(1)]}),
        ("POST", "/session/end", {"sessionId": session}),
        ("POST", "/session/end", {"roomName": call.request.room_name}),
    ):
        answer = await door.http.request(method, path, json=body, headers=other)
        assert is_problem(answer, 404, "not_found"), (method, path)

    # Nor by LiveKit's name of the room, which has the first org in it.
    answer = await door.http.post("/session/end", json={"roomName": call.room}, headers=other)
    assert is_problem(answer, 404, "not_found")
    assert (await call.status()).state == "live"
    await call.end()
    await call.closed()
