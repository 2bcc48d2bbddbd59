"""Tracks what a realtime provider still has to answer, and since when.

A plugin reconnects after a lost connection. It does not notice a provider that accepts the new
connection and stays silent, or that stops answering on an open one, and some plugins retry for
ever. Two kinds of answers are pending: to the caller's speech, which our own voice activity
detection reports because a silent provider does not, and to requested replies.
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
from livekit.agents.vad import VAD, VADEventType

from agent.engines.parts import ProviderSilent

log = structlog.stdlib.get_logger(__name__)

_T = TypeVar("_T")

SPEECH_SECONDS = 0.5
"""Shorter speech, such as a cough, needs no answer."""
NOISE_GAP_SECONDS = 5.0
"""Short sounds further apart than this do not add up to speech."""
_LIFE_SIGNS = (
    "openai_server_event_received",
    "ultravox_server_event_received",
    "input_speech_started",
    "input_speech_stopped",
    "input_audio_transcription_completed",
)
"""Events that show that the provider is alive; not every plugin has all of them."""


class Answering:
    """The pending answers of one realtime session's provider."""

    def __init__(self, session: llm.RealtimeSession[Any], provider: str, vad: VAD) -> None:
        self._session = session
        self._provider = provider
        self._speech = vad.stream()
        self._listening = asyncio.create_task(self._listen(), name="answering")
        self._speaking = False
        self._answered_already = False
        self._spoken_seconds = 0.0
        self._spoken_until: float | None = None
        self._last_sign_at = time.monotonic()
        self._playing_until = 0.0
        self._requested_at: dict[object, float] = {}
        self._closed = False
        self.dropped = False
        """Whether a requested reply was lost and has not been requested again."""
        self.times_asked = 0
        """How many answers had to be requested since the provider last began one by itself."""
        session.on("generation_created", self._generation_created)
        for sign in _LIFE_SIGNS:
            session.on(sign, self._sign_of_life)

    def asked_for(self) -> float:
        """Seconds since the oldest pending reply was requested; 0 without one."""
        return time.monotonic() - min(self._requested_at.values()) if self._requested_at else 0.0

    def unanswered_for(self) -> float:
        """Seconds since the end of the caller's unanswered speech; 0 while they speak."""
        if self._spoken_until is None or self._speaking or self._spoken_seconds < SPEECH_SECONDS:
            return 0.0
        return time.monotonic() - self._spoken_until

    def silent_for(self) -> float:
        """Seconds since the provider's last event, or since the later end of its audio."""
        return max(time.monotonic() - max(self._last_sign_at, self._playing_until), 0.0)

    def expect(self, reply: object) -> None:
        """Note that this reply is requested now."""
        self.dropped = False
        self._requested_at[reply] = time.monotonic()

    def settle(self, reply: object) -> None:
        """Stop waiting for this reply."""
        self._requested_at.pop(reply, None)

    def requested(self, reply: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
        """Track a reply that the provider has been asked for."""
        # The plugin may have refused it at once.
        if not reply.done():
            self.expect(reply)
            reply.add_done_callback(self._settled)

    def fail(self, what: str) -> None:
        """End the session: the provider is silent."""
        self._reset()
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
        """Detect speech in the audio that is sent to the provider."""
        if not self._closed:
            self._speech.push_frame(frame)

    async def aclose(self) -> None:
        """Stop listening."""
        self._closed = True
        await self._speech.aclose()
        await self._listening

    async def _listen(self) -> None:
        try:
            async for event in self._speech:
                if event.type is VADEventType.START_OF_SPEECH:
                    self._speaking = True
                elif event.type is VADEventType.END_OF_SPEECH:
                    self._caller_stopped(event.speech_duration)
        except Exception:
            # A call without this check is better than no call.
            log.exception("answers_not_watched")
            self._closed = True
            self._reset()

    def _caller_stopped(self, seconds: float) -> None:
        self._speaking = False
        if self._answered_already:
            # The provider noticed the end of speech first.
            self._answered_already = False
            return
        now = time.monotonic()
        apart = self._spoken_until is not None and now - self._spoken_until > NOISE_GAP_SECONDS
        if apart and self._spoken_seconds < SPEECH_SECONDS:
            self._spoken_seconds = 0.0
        self._spoken_seconds += seconds
        self._spoken_until = now

    def _generation_created(self, event: llm.GenerationCreatedEvent) -> None:
        self._sign_of_life(event)
        if not self._requested_at:
            self.times_asked = 0
        self._reset()
        self._answered_already = self._speaking
        # The new answer cuts the previous one off.
        self._playing_until = self._last_sign_at
        self._observe(event)

    def _observe(self, event: llm.GenerationCreatedEvent) -> None:
        """Measure an answer's audio: plugins do not report it, and it may arrive all at once."""
        if not isinstance(event.message_stream, _Observed):
            event.message_stream = _Observed(event.message_stream, self._observe_message)

    def _observe_message(self, message: llm.MessageGeneration) -> None:
        message.audio_stream = _Observed(message.audio_stream, self._observe_frame)

    def _observe_frame(self, frame: rtc.AudioFrame) -> None:
        self._sign_of_life(frame)
        self._playing_until = max(self._last_sign_at, self._playing_until) + frame.duration

    def _sign_of_life(self, _: object) -> None:
        self._last_sign_at = time.monotonic()

    def _settled(self, reply: asyncio.Future[llm.GenerationCreatedEvent]) -> None:
        error = None if reply.cancelled() else reply.exception()
        if isinstance(error, llm.RealtimeError) and error.code is None:
            # Timed out, or lost with its connection: it stays pending.
            self.dropped = self.dropped or reply in self._requested_at
            return
        self.settle(reply)
        if error is None and not reply.cancelled():
            # Some plugins return another event than the one that they emit.
            self._observe(reply.result())

    def _reset(self) -> None:
        self._requested_at.clear()
        self.dropped = False
        self._spoken_seconds = 0.0
        self._spoken_until = None


class _Observed(AsyncIterator[_T]):
    """A stream that reports each item. Not a generator: cancelling a read would end it."""

    def __init__(self, stream: AsyncIterable[_T], note: Callable[[_T], None]) -> None:
        self._stream = stream.__aiter__()
        self._note = note

    async def __anext__(self) -> _T:
        item = await self._stream.__anext__()
        self._note(item)
        return item


class AnsweringSession(llm.RealtimeSession[Any]):
    """Wraps a plugin's session, and tracks the provider's pending answers."""

    answering: Answering

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Send the caller's audio to the provider."""
        self.answering.hear(frame)
        super().push_audio(frame)  # pyright: ignore[reportAbstractUsage]  # the plugin's method

    def generate_reply(self, **options: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Request a reply."""
        reply = super().generate_reply(**options)  # pyright: ignore[reportAbstractUsage]  # likewise
        self.answering.requested(reply)
        return reply

    def say(self, text: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        """Request speech with this text."""
        reply = super().say(text)
        self.answering.requested(reply)
        return reply

    async def aclose(self) -> None:
        """Close the session."""
        await self.answering.aclose()
        await super().aclose()  # pyright: ignore[reportAbstractUsage]  # likewise


def answering_of(session: AgentSession[Any]) -> Answering | None:
    """The pending answers of the current agent; None if it is not a realtime agent."""
    try:
        realtime = cast(object, session.current_agent.realtime_llm_session)
    except RuntimeError:
        # Raised by the SDK for a pipeline, and during a hand-off.
        return None
    return realtime.answering if isinstance(realtime, AnsweringSession) else None
