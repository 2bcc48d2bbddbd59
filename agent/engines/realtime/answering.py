"""What a realtime provider owes the caller, and since when.

A plugin makes a lost connection again, but it notices neither a provider that takes the new one and
says nothing nor one that stops answering on an open one; some try for ever to connect. So the debts
are kept here: what the caller has said, heard by voice activity detection of our own because such a
provider does not say that it hears them, and the replies that it was asked for.
"""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, TypeVar, cast

import structlog
from livekit import rtc
from livekit.agents import AgentSession, llm
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.vad import VAD, VADEventType, VADStream

from agent.engines.faults import ProviderSilent

log = structlog.stdlib.get_logger(__name__)

_T = TypeVar("_T")

MEANT_SECONDS = 0.5
"""Speech that a provider has to answer; a cough is shorter."""
APART_SECONDS = 5.0
"""Sounds that are further apart than this are several coughs, and no sentence."""
_SIGNS = (
    "openai_server_event_received",
    "ultravox_server_event_received",
    "input_speech_started",
    "input_speech_stopped",
    "input_audio_transcription_completed",
)
"""What only a provider that is there makes its plugin emit; not every plugin has all of them."""


class Answering:
    """The debts of one realtime session's provider."""

    def __init__(self, session: llm.RealtimeSession[Any], provider: str, vad: VAD) -> None:
        self._session = session
        self._provider = provider
        self._vad = vad
        self._ears: VADStream | None = None
        self._listening: asyncio.Task[None] | None = None
        self._speaking = False
        self._answered_already = False
        self._spoken_seconds = 0.0
        self._spoken_until: float | None = None
        self._sign_at = time.monotonic()
        self._sounds_until = 0.0
        self._asked: dict[object, float] = {}
        self._closed = False
        self.dropped = False
        """Whether a reply that was asked for will not come, and nobody has asked again."""
        self.times_asked = 0
        """How often an answer had to be asked for since the provider began one by itself."""
        session.on("generation_created", self._answers)
        for sign in _SIGNS:
            session.on(sign, self._signs)

    def asked_for(self) -> float:
        """Seconds since the first reply was asked for that has not begun; 0 without one."""
        return time.monotonic() - min(self._asked.values()) if self._asked else 0.0

    def unanswered_for(self) -> float:
        """Seconds since the caller's last word, if nothing has answered it; 0 while they speak."""
        if self._spoken_until is None or self._speaking or self._spoken_seconds < MEANT_SECONDS:
            return 0.0
        return time.monotonic() - self._spoken_until

    def silent_for(self) -> float:
        """Seconds without any sign of the provider, and without sound of it left to be played."""
        return max(time.monotonic() - max(self._sign_at, self._sounds_until), 0.0)

    def owe(self, reply: object) -> None:
        """Note that this reply is asked for now."""
        self.dropped = False
        self._asked[reply] = time.monotonic()

    def forgive(self, reply: object) -> None:
        """Note that nobody waits for this reply any more."""
        self._asked.pop(reply, None)

    def asks(self, reply: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
        """Note that the provider is asked for a reply, which it will begin."""
        # One that the plugin refuses by itself is nobody's debt.
        if not reply.done():
            self.owe(reply)
            reply.add_done_callback(self._settled)

    def give_up(self, what: str) -> None:
        """End the session as one whose provider is lost; nothing is owed any more."""
        self._forget()
        log.error("realtime_provider_silent", provider=self._provider, what=what)
        self._session.emit(
            "error",
            llm.RealtimeModelError(
                timestamp=time.time(),
                label=self._session.realtime_model.label,
                error=ProviderSilent(f"{self._provider} is silent: {what}"),
                recoverable=False,
            ),
        )

    def hear(self, frame: rtc.AudioFrame) -> None:
        """Listen to what the provider is given to hear."""
        if self._closed:
            return
        if self._ears is None:
            self._ears = self._vad.stream()
            self._listening = asyncio.create_task(self._listen(self._ears), name="answering")
        self._ears.push_frame(frame)

    async def aclose(self) -> None:
        """Listen no more."""
        self._closed = True
        if self._ears is not None:
            await self._ears.aclose()
        if self._listening is not None:
            await self._listening

    async def _listen(self, ears: VADStream) -> None:
        try:
            async for event in ears:
                if event.type is VADEventType.START_OF_SPEECH:
                    self._speaking = True
                elif event.type is VADEventType.END_OF_SPEECH:
                    self._caller_stopped(event.speech_duration)
        except Exception:
            # The conversation is worth more than this watch over it.
            log.exception("answers_not_watched")
            self._closed = True
            self._forget()

    def _caller_stopped(self, seconds: float) -> None:
        self._speaking = False
        if self._answered_already:
            # The provider was quicker to hear that it was over.
            self._answered_already = False
            return
        now = time.monotonic()
        apart = self._spoken_until is not None and now - self._spoken_until > APART_SECONDS
        if apart and self._spoken_seconds < MEANT_SECONDS:
            self._spoken_seconds = 0.0
        self._spoken_seconds += seconds
        self._spoken_until = now

    def _answers(self, event: llm.GenerationCreatedEvent) -> None:
        self._signs(event)
        if not self._asked:
            self.times_asked = 0
        self._forget()
        self._answered_already = self._speaking
        # What was left of the answer before this one is not played any more.
        self._sounds_until = self._sign_at
        self._heed(event)

    def _heed(self, event: llm.GenerationCreatedEvent) -> None:
        """Note the sound of an answer: plugins tell nothing of it, and it may come all at once."""
        if not isinstance(event.message_stream, _Heeded):
            event.message_stream = _Heeded(event.message_stream, self._message)

    def _message(self, message: llm.MessageGeneration) -> None:
        message.audio_stream = _Heeded(message.audio_stream, self._sound)

    def _sound(self, frame: rtc.AudioFrame) -> None:
        self._signs(frame)
        self._sounds_until = max(self._sign_at, self._sounds_until) + frame.duration

    def _signs(self, _: object) -> None:
        self._sign_at = time.monotonic()

    def _settled(self, reply: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
        error = None if reply.cancelled() else reply.exception()
        if isinstance(error, llm.RealtimeError) and error.code is None:
            # Timed out, or lost with its connection: nobody will answer it, so it stays owed.
            self.dropped = self.dropped or reply in self._asked
            return
        self.forgive(reply)
        if error is None and not reply.cancelled():
            # Some plugins give another event here than the one that they emit.
            self._heed(reply.result())

    def _forget(self) -> None:
        self._asked.clear()
        self.dropped = False
        self._spoken_seconds = 0.0
        self._spoken_until = None


class _Heeded(AsyncIterator[_T]):
    """A stream each of whose items is noted as it passes.

    Not a generator: several tasks read it in turn, and one of them may be cancelled.
    """

    def __init__(self, stream: AsyncIterable[_T], note: Callable[[_T], None]) -> None:
        self._stream = stream.__aiter__()
        self._note = note

    async def __anext__(self) -> _T:
        item = await self._stream.__anext__()
        self._note(item)
        return item


class AnsweringSession(llm.RealtimeSession[Any]):
    """Goes before a plugin's session, and notes what its provider owes."""

    answering: Answering

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Let the provider hear the caller."""
        self.answering.hear(frame)
        super().push_audio(frame)  # pyright: ignore[reportAbstractUsage]  # the plugin's comes next

    def generate_reply(
        self,
        *,
        instructions: NotGivenOr[str] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        tools: NotGivenOr[list[llm.Tool]] = NOT_GIVEN,
    ) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Ask for a reply."""
        reply = super().generate_reply(  # pyright: ignore[reportAbstractUsage]  # likewise
            instructions=instructions, tool_choice=tool_choice, tools=tools
        )
        self.answering.asks(reply)
        return reply

    def say(self, text: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Ask for given words."""
        reply = super().say(text)
        self.answering.asks(reply)
        return reply

    async def aclose(self) -> None:
        """Close the session."""
        await self.answering.aclose()
        await super().aclose()  # pyright: ignore[reportAbstractUsage]  # likewise


def answering_of(session: AgentSession[Any]) -> Answering | None:
    """What is owed to the agent that has the conversation now; None if it is no realtime one."""
    try:
        realtime = cast(object, session.current_agent.realtime_llm_session)
    except RuntimeError:
        # The SDK's way to say that it is a pipeline, or in the middle of a hand-off.
        return None
    return realtime.answering if isinstance(realtime, AnsweringSession) else None
