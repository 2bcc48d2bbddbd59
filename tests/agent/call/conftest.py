"""A real agent worker with local models, and a room of its own for each test.

Both take long to start: all files of this folder share them.
"""

import uuid
from collections.abc import AsyncGenerator

import pytest

from stack.supervision.health import http_ok
from tests.agent.live import (
    AgentWorker,
    LiveSession,
    live_session,
    start_agent,
    start_models_command,
)
from tests.fakes.callback_api import CallbackApi
from tests.servers import LiveKitServer, ServerProcess, free_port


@pytest.fixture(scope="session")
async def models_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = ServerProcess(
        command=start_models_command(port),
        check=http_ok(f"{url}/health"),
        log=tmp_path_factory.mktemp("models") / "models.log",
    )
    try:
        await process.start()
        yield url
    finally:
        process.stop()


@pytest.fixture(scope="session")
async def home() -> AsyncGenerator[CallbackApi]:
    """Where the agent server's heartbeats go; each session has an API of its own."""
    async with CallbackApi() as api:
        yield api


@pytest.fixture(scope="session")
async def worker(
    livekit_server: LiveKitServer,
    models_url: str,
    home: CallbackApi,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[AgentWorker]:
    folder = tmp_path_factory.mktemp("agent")
    environment = {"EVERLINE_RECORDINGS_URL": (folder / "kept").as_uri()}
    async with start_agent(
        livekit_server, models_url, home.url, folder, "tester", environment
    ) as agent:
        yield agent


@pytest.fixture
async def session(
    livekit_server: LiveKitServer, worker: AgentWorker
) -> AsyncGenerator[LiveSession]:
    async with live_session(livekit_server, worker, f"s{uuid.uuid4().hex[:8]}") as live:
        yield live
