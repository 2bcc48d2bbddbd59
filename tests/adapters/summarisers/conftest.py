"""A summariser in front of a chat-completions server."""

from collections.abc import AsyncGenerator

import pytest

from adapters.summarisers import OpenAISummariser
from adapters.summarisers.chat import ChatModel
from tests.fakes.openai_chat import FakeChatServer, fake_chat_server

KEY = "sk-secret-key-of-a-test"


@pytest.fixture
async def server() -> AsyncGenerator[FakeChatServer]:
    async with fake_chat_server() as server:
        yield server


@pytest.fixture
async def summariser(server: FakeChatServer) -> AsyncGenerator[OpenAISummariser]:
    chat = ChatModel(KEY, base_url=server.base_url + "/", time_limit=30)
    yield OpenAISummariser(chat)
    await chat.aclose()
