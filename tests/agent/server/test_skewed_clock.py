"""An agent server whose clock differs from the API's: heard all the same, and it says so first."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from adapters.livekit.signatures import HEARTBEAT, verify_body
from adapters.settings import AgentSettings
from agent.server.health import NotHeardError, check
from agent.server.heartbeat import HeartbeatSender
from domain.clocks import CLOCK_CURE, ClockSkew
from tests.agent.server.test_agent_server import SETTINGS
from tests.agent.server.test_heartbeat import Jobs
from tests.fakes.skewed_server import formatted_date, skewed_server
from tests.servers import free_port

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


async def check_health(settings: AgentSettings) -> None:
    """`check` is synchronous, and the server runs in this event loop."""
    await asyncio.to_thread(check, settings, "here")
