"""Bodies are read after the credentials were checked, and within limits of time and memory."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.limits import bodies
from api.limits.bodies import MAX_NAMES, MAX_VALUES, ORG_BUDGET_BYTES
from api.problems import MAX_BODY_BYTES
from tests.api.door import JSON, KEY, OTHER_KEY, Door, is_problem
from tests.contract.serving import serving
from tests.waiting import eventually

HALF = MAX_BODY_BYTES // 2
JSON_BODY = {"Content-Type": "application/json"}


class Endless:
    """A body that says how much of it was taken."""

    def __init__(self, size: int = MAX_BODY_BYTES) -> None:
        self.taken = 0
        self._size = size

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while self.taken < self._size:
            self.taken += 1024
            yield b" " * 1024


@pytest.mark.parametrize("credentials", [{}, {"x-api-key": "wrong", "Authorization": "Bearer no"}])
async def test_no_body_is_read_without_valid_credentials(
    door: Door, credentials: dict[str, str]
) -> None:
    paths: dict[str, dict[str, JSON]] = door.app.openapi()["paths"]
    with_body = [
        (method, re.sub(r"{.*?}", "any", path))
        for path, item in paths.items()
        for method, operation in item.items()
        if "requestBody" in operation
    ]
    assert len(with_body) > 15
    transport = httpx.ASGITransport(door.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
        for method, path in with_body:
            body = Endless()
            answer = await http.request(method, path, content=body, headers=JSON_BODY | credentials)
            assert (answer.status_code, body.taken) == (401, 0), (method, path, answer.text)


async def test_a_body_of_very_many_values_is_refused(door: Door) -> None:
    many = '{"x":[' + "{}," * (MAX_VALUES // 2) + "{}]}"
    assert len(many) < MAX_BODY_BYTES

    answer = await door.http.post(
        "/v1/sessions/start", content=many, headers={"Content-Type": "application/json"}
    )

    assert is_problem(answer, 413, "content_too_large")
    assert "400000 values" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({f"k{number}": 0 for number in range(MAX_NAMES + 1)}, "more than 5000 names"),
        (
            {"agent_config": {"a": [{str(number): 0 for number in range(MAX_NAMES + 1)}]}},
            "5000 names",
        ),
        ({"agent_config": {"tools": [0] * 20_001}}, "more than 20000 items"),
    ],
    ids=["names", "names within", "items"],
)
async def test_an_object_or_array_that_could_have_very_many_errors_is_refused(
    door: Door, body: dict[str, Any], reason: str
) -> None:
    answer = await door.http.post("/v1/sessions/start", json=body)

    assert is_problem(answer, 413, "content_too_large")
    assert reason in answer.json()["detail"]


async def test_only_the_first_of_many_errors_are_named(door: Door) -> None:
    tools = {"tools": [0] * 20_000}
    answer = await door.http.post("/v1/sessions/start", json={"agent_config": tools})

    assert is_problem(answer, 422, "invalid_input")
    assert len(answer.json()["errors"]) == 100
    assert answer.json()["detail"].endswith("more")
    assert len(answer.content) < 50_000


async def test_a_long_report_of_many_turns_is_not(door: Door) -> None:
    turns = [{"role": "user", "text": "well, yes, " * 15, "item_id": f"i{n}"} for n in range(9_000)]
    body = json.dumps({"turns": turns})
    assert len(body) < MAX_BODY_BYTES

    answer = await door.http.post(
        "/v1/sessions/none/turns", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code != 413, answer.text


async def test_a_body_that_does_not_come_is_not_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.2)
    async with stalled(door, KEY, 1) as [answer]:
        head = await asyncio.wait_for(answer(), 30)
    assert b" 408 " in head.splitlines()[0]


async def test_large_bodies_that_are_held_back_leave_room_for_others(door: Door) -> None:
    holding = ORG_BUDGET_BYTES // HALF
    async with stalled(door, KEY, holding) as answers:
        del answers

        async def full() -> bool:
            large = await door.http.post("/session", content=b" " * HALF, headers=JSON_BODY)
            return large.status_code == 429

        await eventually(full, 30, "the org's budget is used up")
        small = await door.http.post("/session", json={})
        assert small.status_code == 422
        other = await door.http.post(
            "/session", content=b" " * HALF, headers=JSON_BODY | {"x-api-key": OTHER_KEY}
        )
        assert other.status_code == 422

    async def free() -> bool:
        large = await door.http.post("/session", content=b" " * HALF, headers=JSON_BODY)
        return large.status_code == 422

    await eventually(free, 30, "the budget is free again")


@asynccontextmanager
async def stalled(
    door: Door, key: str, count: int
) -> AsyncGenerator[list[Callable[[], Awaitable[bytes]]]]:
    """Connections that hold back the last byte of a large body; each can be read from."""
    head = (
        "POST /session HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\n"
        f"x-api-key: {key}\r\nContent-Length: {HALF}\r\n\r\n"
    ).encode()
    writers: list[asyncio.StreamWriter] = []
    async with serving(door.app) as url:
        port = int(url.rpartition(":")[2])
        connections: list[Any] = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            connections.append(lambda reader=reader: reader.readuntil(b"\r\n\r\n"))
            writer.write(head + b" " * (HALF - 1))
            await writer.drain()
        try:
            yield connections
        finally:
            for writer in writers:
                writer.close()
