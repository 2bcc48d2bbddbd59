"""The watchdog's own try of the way that heartbeats take, over real HTTP."""

import time

import pytest
from aiohttp import web
from pydantic import SecretStr

from adapters.http.heartbeat_path import ApiHeartbeatPath
from adapters.livekit.signatures import HEARTBEAT, verify_body
from adapters.settings import WorkerSettings
from domain.clocks import ClockSkew
from domain.errors import Unavailable
from tests.fakes.skewed_server import formatted_date
from tests.servers import free_port
from tests.workflows.studio import worker_settings

SECRET = "a-secret-for-tests-of-at-least-32-characters"


def settings(port: int) -> WorkerSettings:
    return worker_settings("127.0.0.1:1", "queue").model_copy(
        update={
            "everline_callback_url": f"http://127.0.0.1:{port}/",
            "livekit_api_secret": SecretStr(SECRET),
        }
    )


async def test_the_path_is_open_or_says_why_it_is_not() -> None:
    statuses = iter((200, 503))

    async def check(request: web.Request) -> web.Response:
        authorization = request.headers["Authorization"]
        verify_body({"key": SECRET}, authorization, await request.read(), HEARTBEAT)
        return web.json_response({"accepted": True}, status=next(statuses))

    app = web.Application()
    app.router.add_post("/v1/agent-servers/check", check)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with ApiHeartbeatPath(settings(port)) as path:
        await path.prove()
        with pytest.raises(Unavailable, match="answered 503"):
            await path.prove()
        await runner.cleanup()
        with pytest.raises(Unavailable, match="does not answer"):
            await path.prove()


@pytest.mark.parametrize("mine", [600.0, -600.0])
async def test_another_clock_is_named_and_then_allowed_for(
    monkeypatch: pytest.MonkeyPatch, mine: float
) -> None:
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + mine)

    async def check(request: web.Request) -> web.Response:
        headers = {"Date": formatted_date(real())}
        authorization, body = request.headers["Authorization"], await request.read()
        try:
            verify_body({"key": SECRET}, authorization, body, HEARTBEAT, now=real())
        except ClockSkew:
            return web.json_response({}, status=401, headers=headers)
        return web.json_response({"accepted": True}, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/agent-servers/check", check)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with ApiHeartbeatPath(settings(port)) as path:
        with pytest.raises(Unavailable, match=r"the API's clock is 10 min .*answered 401"):
            await path.prove()
        await path.prove()
    await runner.cleanup()
