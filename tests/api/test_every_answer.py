"""What every answer has, whatever went wrong: an id, one shape, CORS headers, one log event."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from api.app import create_app
from api.cors import Origins
from tests.api.door import KEY, Door, is_problem

PAGE = "https://app.acme.test"


def broken_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/broken")
    async def broken() -> None:  # pyright: ignore[reportUnusedFunction]  # registered by its decorator
        raise RuntimeError("canary: what went wrong")

    return router


def hangs_up(app: ASGIApp) -> ASGIApp:
    """The app as it meets a client that is gone before its body was there."""

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def met(scope: Scope, _: Receive, send: Send) -> None:
        await app(scope, gone, send)

    return met


@asynccontextmanager
async def opened(
    door: Door, around: Callable[[ASGIApp], ASGIApp] = lambda app: app, **how: Any
) -> AsyncGenerator[httpx.AsyncClient]:
    """The API with a broken route, as `how` says."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield

    app = create_app(door.deps, lifespan, [broken_routes()], **how)
    transport = httpx.ASGITransport(around(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
        yield http


async def test_what_nobody_foresaw_is_a_problem_that_says_nothing(door: Door) -> None:
    async with opened(door) as http:
        with capture_logs() as logs:
            answer = await http.get("/broken", headers={"x-request-id": "mine"})

    assert is_problem(answer, 500, "internal_error")
    assert "canary" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"
    events = {entry["event"]: entry for entry in logs}
    assert events["unexpected error"]["request_id"] == "mine"
    assert isinstance(events["unexpected error"]["exc_info"], RuntimeError)
    assert (events["request"]["status"], events["request"]["outcome"]) == (500, "internal_error")


async def test_a_client_that_hung_up_is_no_fault_of_ours(door: Door) -> None:
    async with opened(door, around=hangs_up) as http:
        with capture_logs() as logs:
            await http.post("/session", content="{}", headers={"x-api-key": KEY})

    [request] = [entry for entry in logs if entry["event"] == "request"]
    assert (request["status"], request["outcome"]) == (499, "client_gone")
    assert all(entry["event"] != "unexpected error" for entry in logs)


async def test_in_development_it_says_what_it_was(door: Door) -> None:
    async with opened(door, development=True) as http:
        with capture_logs():  # drawing the traceback for the terminal takes seconds
            answer = await http.get("/broken")

    assert answer.json()["detail"] == "RuntimeError: canary: what went wrong"


@pytest.mark.parametrize("path", ["/health", "/broken", "/nowhere", "/agents"])
async def test_a_listed_page_can_read_every_answer(door: Door, path: str) -> None:
    async with opened(door, origins=Origins((PAGE,))) as http:
        with capture_logs():
            answer = await http.get(path, headers={"origin": PAGE})
            elsewhere = await http.get(path, headers={"origin": "https://evil.test"})

    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-origin" not in elsewhere.headers
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_send_keys_and_conditions(door: Door) -> None:
    asked = "x-api-key,x-org-id,idempotency-key,if-match,content-type,last-event-id"
    preflight = {
        "access-control-request-method": "PATCH",
        "access-control-request-headers": asked,
    }
    async with opened(door, origins=Origins((PAGE,))) as http:
        allowed = await http.options("/v1/sessions", headers={"origin": PAGE, **preflight})
        refused = await http.options("/v1/sessions", headers={"origin": "null", **preflight})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-origin" not in refused.headers
    assert is_problem(refused, 403, "cors_refused")
    assert refused.json()["errors"][0]["cure"] == "add it to EVERLINE_CORS_ORIGINS"


async def test_a_page_is_told_all_that_it_may_not_send(door: Door) -> None:
    preflight = {
        "origin": PAGE,
        "access-control-request-method": "TRACE",
        "access-control-request-headers": "x-api-key,x-tracing",
        "access-control-request-private-network": "true",
    }
    async with opened(door, origins=Origins((PAGE,))) as http:
        refused = await http.options("/v1/sessions", headers=preflight)

    assert is_problem(refused, 403, "cors_refused")
    assert [fault["field"].rpartition("-")[2] for fault in refused.json()["errors"]] == [
        "Method",
        "Headers",
        "Network",
    ]
    # The browser names the reason by these.
    assert "x-api-key" in refused.headers["access-control-allow-headers"]
    assert refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        (Origins(), []),
        (Origins(localhost=True), ["http://localhost:5173", "http://127.0.0.1:4000"]),
        (Origins(("*",)), ["http://localhost:5173", "http://127.0.0.1:4000", PAGE]),
    ],
)
async def test_which_pages_may(door: Door, origins: Origins, allowed: list[str]) -> None:
    async with opened(door, origins=origins) as http:
        for origin in ("http://localhost:5173", "http://127.0.0.1:4000", PAGE):
            answer = await http.get("/health", headers={"origin": origin})
            told = answer.headers.get("access-control-allow-origin")
            assert (told in (origin, "*")) == (origin in allowed)
        trick = await http.get("/health", headers={"origin": "http://localhost.evil.test"})
        assert ("access-control-allow-origin" in trick.headers) == ("*" in origins.listed)


async def test_a_body_that_is_too_large(door: Door) -> None:
    async with opened(door, origins=Origins((PAGE,))) as http:
        answer = await http.post(
            "/session", content=b"x" * (4 * 1024 * 1024 + 1), headers={"origin": PAGE}
        )

    assert is_problem(answer, 413, "content_too_large")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"[" * 200_000, b"\x00", b"NaN", b""])
async def test_a_body_that_cannot_be_read(door: Door, body: bytes) -> None:
    answer = await door.http.post(
        "/session", content=body, headers={"content-type": "application/json"}
    )
    assert is_problem(answer, 422, "invalid_input")


async def test_a_wrong_method_is_told_all_the_right_ones(door: Door) -> None:
    answer = await door.http.request("TRACE", "/agents")
    assert is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"


async def test_the_log_has_one_wide_event_and_nothing_that_was_sent(door: Door) -> None:
    with capture_logs() as logs:
        await door.http.post(
            "/v1/sessions/no-such-session/turns",
            params={"token": "canary-in-the-query"},
            json={"turns": [{"role": "user", "text": "canary-in-the-body"}]},
        )

    [event] = [entry for entry in logs if entry["event"] == "request"]
    assert "canary" not in str(logs)
    assert KEY not in str(logs)
    assert event.pop("milliseconds") >= 0
    assert len(event.pop("request_id")) == 32
    assert event == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "route": "/v1/sessions/{session_id}/turns",
        "status": 422,
        "outcome": "invalid_input",
        "org": "acme",
        "session": "no-such-session",
    }
