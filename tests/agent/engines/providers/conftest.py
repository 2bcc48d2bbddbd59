"""One agent worker with an account at every fake provider: starting one takes longest."""

import uuid
from collections.abc import AsyncGenerator

import pytest

from tests.agent.engines.providers.accounts import Fakes, fake_providers
from tests.agent.live import AgentWorker, LiveSession, live_session, start_agent
from tests.fakes.callback_api import CallbackApi
from tests.servers import LiveKitServer


@pytest.fixture(scope="package")
async def all_fakes() -> AsyncGenerator[Fakes]:
    async with fake_providers() as running:
        yield running


@pytest.fixture
def fakes(all_fakes: Fakes) -> Fakes:
    all_fakes.reset()
    return all_fakes


@pytest.fixture(scope="package")
async def worker(
    livekit_server: LiveKitServer, all_fakes: Fakes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[AgentWorker]:
    async with (
        CallbackApi() as home,
        start_agent(
            livekit_server,
            all_fakes.openai.url,
            home.url,
            tmp_path_factory.mktemp("agent"),
            "providers",
            all_fakes.environment(),
        ) as agent,
    ):
        yield agent


@pytest.fixture
async def session(
    livekit_server: LiveKitServer, worker: AgentWorker, fakes: Fakes
) -> AsyncGenerator[LiveSession]:
    async with live_session(livekit_server, worker, f"s{uuid.uuid4().hex[:8]}") as live:
        yield live
