"""An agent server whose clock differs from the API's: heard all the same, and it says so first."""

# The SDK leaves the types of its server's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from adapters.livekit.signatures import HEARTBEAT, verify_body
from adapters.settings import AgentSettings
from agent.server.agent_server import CountingAgentServer
from agent.server.health import NotHeardError, check
from agent.server.heartbeat import HeartbeatSender
from domain.clocks import CLOCK_CURE, ClockSkew
from tests.agent.server.test_agent_server import SETTINGS
from tests.agent.server.test_heartbeat import Jobs
from tests.fakes.skewed_server import formatted_date, skewed_server
from tests.servers import LiveKitServer, free_port

REAL = time.time
PROBLEM = "application/problem+json"


@pytest.mark.parametrize("mine", [600.0, -600.0])
async def test_its_second_heartbeat_is_signed_by_the_apis_clock(
    monkeypatch: pytest.MonkeyPatch, mine: float
) -> None:
    monkeypatch.setattr("time.time", lambda: REAL() + mine)
    secret = SETTINGS.livekit_api_secret.get_secret_value()
    bodies: list[dict[str, float]] = []

    async def heartbeat(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {"Date": formatted_date(REAL())}
        authorization = request.headers["Authorization"]
        try:
            verify_body({"key": secret}, authorization, body, HEARTBEAT, now=REAL())
        except ClockSkew as error:
            problem = {
                "title": "ClockSkew",
                "status": 401,
                "code": error.code,
                "detail": error.message,
            }
            return web.json_response(problem, status=401, content_type=PROBLEM, headers=headers)
        bodies.append(json.loads(body))
        return web.json_response({"accepted": True}, headers=headers)

    app, port = web.Application(), free_port()
    app.router.add_post("/v1/agent-servers/heartbeat", heartbeat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    sender = HeartbeatSender(SETTINGS, f"http://127.0.0.1:{port}", Jobs(), lambda: False)
    try:
        with capture_logs() as logged:
            answers = [await sender.beat() for _ in range(3)]
    finally:
        await sender.aclose()
        await runner.cleanup()

    assert answers == [False, True, True]
    words = "10 min behind" if mine > 0 else "10 min ahead of"
    # Others may log meanwhile.
    logged = [entry for entry in logged if "why" in entry]
    assert (logged[0]["event"], logged[0]["cure"]) == ("clock_differs", CLOCK_CURE)
    assert f"the API's clock is {words} this machine's" in logged[0]["why"]
    assert "clock is 10 min" in logged[1]["why"], "the API says so as well"
    assert [one["event"] for one in logged].count("clock_differs") == 1
    assert bodies[0]["sent_at"] == pytest.approx(REAL() + mine, abs=30), "the API may know"


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
async def test_its_health_check_goes_by_the_apis_clock(ahead: float) -> None:
    def health(age: float) -> str:
        heard = datetime.now(UTC) + timedelta(seconds=ahead - age)
        server: dict[str, Any] = {
            "server_id": "here:7:abc",
            "agent_name": SETTINGS.dispatch_name,
            "max_jobs": 1,
            "draining": False,
            "jobs": [],
            "last_heartbeat": heard.isoformat(),
        }
        return json.dumps({"agent_name": SETTINGS.dispatch_name, "servers": [server]})

    for age, is_heard in ((2.0, True), (60.0, False)):
        async with skewed_server(ahead, body=health(age), content_type="application/json") as url:
            settings = SETTINGS.model_copy(update={"everline_callback_url": url})
            if is_heard:
                await check_health(settings)
            else:
                with pytest.raises(NotHeardError, match="has not heard"):
                    await check_health(settings)


async def test_a_livekit_whose_clock_is_behind_lets_an_agent_server_register(
    livekit_server: LiveKitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiveKit's clock is ten minutes behind this process's, which is as if ours were ahead."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(minutes=10)

    its = SimpleNamespace(datetime=Ahead, timezone=timezone, timedelta=timedelta)
    monkeypatch.setattr("livekit.api.access_token.datetime", its)
    settings = SETTINGS.model_copy(
        update={
            "livekit_url": livekit_server.url,
            "livekit_api_key": livekit_server.api_key,
            "livekit_api_secret": SecretStr(livekit_server.api_secret),
        }
    )
    server = CountingAgentServer(settings)
    registered = asyncio.Event()
    server.on("worker_registered", partial(_set, registered))
    async with aiohttp.ClientSession() as session:
        server._http_session = session  # pyright: ignore[reportPrivateUsage] - set when it runs
        server._closed = False  # pyright: ignore[reportPrivateUsage] - likewise
        registering = asyncio.create_task(server._connection_task())  # pyright: ignore[reportPrivateUsage] - guards the name
        try:
            await asyncio.wait_for(registered.wait(), 60)
        finally:
            registering.cancel()
            await asyncio.gather(registering, return_exceptions=True)


def _set(event: asyncio.Event, *_: object) -> None:
    event.set()


async def check_health(settings: AgentSettings) -> None:
    """`check` is synchronous, and the server runs in this event loop."""
    await asyncio.to_thread(check, settings, "here")
