"""Each stage on its own: what comes through a model that was built."""

import asyncio
import wave
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import stt, tts
from livekit.agents.llm import LLM, ChatContext, RealtimeModel

from tests.agent.live import BOOK_A_TABLE


def frames(recording: Path) -> list[rtc.AudioFrame]:
    with wave.open(str(recording), "rb") as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    # Silence after it: whoever listens must notice that it is over.
    pcm += bytes(2 * rate)
    size = 2 * rate // 50
    return [
        rtc.AudioFrame(pcm[at : at + size], rate, 1, rate // 50)
        for at in range(0, len(pcm) - size + 1, size)
    ]


async def heard_by(ears: stt.STT[Any] | None) -> str:
    """What is understood; who streams has to say as well that the caller has stopped speaking."""
    assert ears is not None
    if not ears.capabilities.streaming:
        return (await ears.recognize(frames(BOOK_A_TABLE))).alternatives[0].text
    stream = ears.stream()
    words: list[str] = []
    try:
        for frame in frames(BOOK_A_TABLE):
            stream.push_frame(frame)
        async with asyncio.timeout(30):
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    words.append(event.alternatives[0].text)
                elif event.type is stt.SpeechEventType.END_OF_SPEECH:
                    return " ".join(words)
    finally:
        await stream.aclose()
    raise AssertionError("nothing was heard to its end")


async def thought_by(mind: LLM[Any] | RealtimeModel) -> str:
    assert isinstance(mind, LLM)
    context = ChatContext.empty()
    context.add_message(role="user", content="I would like to book a table.")
    async with asyncio.timeout(30):
        answer = await mind.chat(chat_ctx=context).collect()
    return answer.text


async def spoken_by(voice: tts.TTS[Any] | None, text: str) -> float:
    """Seconds of sound."""
    assert voice is not None
    seconds = 0.0
    async with asyncio.timeout(30):
        if voice.capabilities.streaming:
            async with voice.stream() as stream:
                stream.push_text(text)
                stream.end_input()
                async for event in stream:
                    seconds += event.frame.duration
        else:
            async with voice.synthesize(text) as chunks:
                async for event in chunks:
                    seconds += event.frame.duration
    return seconds
