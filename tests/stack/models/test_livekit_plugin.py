"""The stock LiveKit plugin against the server, as the agent worker uses it."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from livekit import rtc
from livekit.agents import llm
from livekit.plugins import openai
from openai import AsyncOpenAI

from tests.stack.models.lines import SpokenLine, words_of
from tests.stack.models.serving import ModelsServer


def frame_of(wav: bytes) -> rtc.AudioFrame:
    with wave.open(BytesIO(wav)) as file:
        count = file.getnframes()
        return rtc.AudioFrame(file.readframes(count), file.getframerate(), 1, count)


@pytest.fixture
async def client(models_server: ModelsServer) -> AsyncIterator[AsyncOpenAI]:
    # The plugin's speech recognition never closes a client of its own.
    url = models_server.openai_url
    async with AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def chat_model(client: AsyncOpenAI) -> openai.LLM:
    return openai.LLM(client=client, model="any")


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-mini-transcribe"])
async def test_it_hears(client: AsyncOpenAI, model: str, caller_lines: list[SpokenLine]) -> None:
    ears = openai.STT(client=client, model=model, language="en")
    event = await ears.recognize(frame_of(caller_lines[0].wav))
    assert words_of(event.alternatives[0].text) == words_of(caller_lines[0].says)


@pytest.mark.parametrize("response_format", ["pcm", "mp3"])
@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
async def test_it_speaks(client: AsyncOpenAI, model: str, response_format: str) -> None:
    voice = openai.TTS(client=client, model=model, response_format=response_format)
    frame = await voice.synthesize("Hello! For how many people?").collect()
    assert frame.sample_rate == 24_000
    assert frame.duration > 1


async def test_it_answers_what_was_said(chat_model: openai.LLM) -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="You answer the telephone of a restaurant.")
    context.add_message(role="user", content="A table for five tonight at eight, please.")
    answer = await chat_model.chat(chat_ctx=context).collect()
    assert "a table for five tonight at eight" in answer.text


async def test_it_follows_the_instructions_of_generate_reply(chat_model: openai.LLM) -> None:
    # The shape of AgentSession.generate_reply(instructions=…): one more system message at the end.
    context = llm.ChatContext.empty()
    context.add_message(role="system", content="You are Luna, the host of Trattoria Bella Vista.")
    context.add_message(role="system", content="Greet the caller and offer your help.")
    answer = await chat_model.chat(chat_ctx=context).collect()
    assert answer.text == "Hello! This is Luna at Trattoria Bella Vista. How can I help you?"


async def test_it_passes_over_the_agents_tools(chat_model: openai.LLM) -> None:
    @llm.function_tool
    async def end_call() -> str:
        """End the call."""
        return "ended"

    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Goodbye.")
    answer = await chat_model.chat(chat_ctx=context, tools=[end_call]).collect()
    assert answer.text == "Thank you for calling. Goodbye!"
    assert answer.tool_calls == []
