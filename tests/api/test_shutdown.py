"""The API process is told to stop: what it has begun is finished, and streams end."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.auth.local_keys import hash_of
from tests.servers import TemporalServer, free_port
from tests.waiting import eventually

KEY = "evl_the-key-of-the-process"


@pytest.fixture
async def api(
    temporal_server: TemporalServer, tmp_path: Path
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """The real process, with Temporal, without MongoDB and without a worker."""
    port = free_port()
    settings = {
        "NODE_ENV": "production",
        "PORT": str(port),
        "AUTH_PROVIDER": "local",
        "EVERLINE_BOOTSTRAP_KEY_HASH": hash_of(KEY),
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 40,
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_TASK_QUEUE": f"nobody-{port}",
        "EVERLINE_ENCRYPTION_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}",
        "EVERLINE_CALLBACK_SECRET": "c" * 32,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.main"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **settings},
    )
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": KEY}, timeout=60
    ) as http:

        async def answers() -> bool:
            try:
                return (await http.get("/health")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, 60)
        yield process, http
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_streams_end_and_requests_are_answered(
    api: tuple[asyncio.subprocess.Process, httpx.AsyncClient],
) -> None:
    process, http = api
    started = await http.post("/v1/sessions/start?wait=accepted", json={})
    assert started.status_code == 202, started.text
    path = f"/v1/sessions/{started.json()['session_id']}"

    async with http.stream("GET", f"{path}/events") as stream:
        lines = stream.aiter_lines()
        # No worker answers for this session, so that the stream has nothing to tell but that.
        assert "still here" in await anext(lines)
        # Waits five seconds for a worker, and is in the middle of that when the signal comes.
        sent = asyncio.Event()

        async def trace(event: str, _: dict[str, Any]) -> None:
            if event == "http11.send_request_body.complete":
                sent.set()

        asking = http.build_request("GET", path, extensions={"trace": trace})
        in_flight = asyncio.create_task(http.send(asking))
        async with asyncio.timeout(60):
            await sent.wait()
            # What came before it is begun when this is answered.
            assert (await http.get("/health")).status_code == 200
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            rest = [line async for line in lines]
            answer = await in_flight
            await process.wait()

    assert "event: end" not in rest, "the session is not over, only the stream is"
    assert answer.status_code == 503
    assert process.returncode in (0, -signal.SIGTERM)
