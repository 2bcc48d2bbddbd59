"""A fake realtime provider for each test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.agent.engines.realtime.talk import PROVIDERS, provider
from tests.fakes.realtime import FakeProvider, GeminiLive


@pytest.fixture(params=PROVIDERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each provider in turn; a test of one alone sets it by `parametrize`."""
    return request.param


@pytest.fixture
async def fake(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[FakeProvider]:
    """The provider of this name."""
    async with provider(name, tmp_path) as running:
        if isinstance(running, GeminiLive):
            monkeypatch.setenv("SSL_CERT_FILE", str(running.certificate))
        yield running
