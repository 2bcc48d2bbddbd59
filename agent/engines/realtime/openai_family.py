"""OpenAI's realtime models, and xAI's, which speak the same protocol."""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

from collections.abc import Awaitable
from typing import Any

import structlog
from livekit.agents import NOT_GIVEN, APIError
from livekit.agents.llm import RealtimeModel
from livekit.agents.vad import VAD
from livekit.plugins import openai, xai
from openai.types.beta.realtime.session import TurnDetection
from openai.types.realtime import AudioTranscription, NoiseReductionType
from openai.types.realtime.realtime_audio_input_turn_detection import SemanticVad, ServerVad

from agent.engines.realtime.acceptance import Acceptance
from agent.engines.realtime.answering import Answering, AnsweringSession
from agent.engines.realtime.choice import CONNECTION, RealtimeChoice

log = structlog.stdlib.get_logger(__name__)

OPENAI_SESSION_SECONDS = 50 * 60
"""OpenAI ends a session after 60 minutes."""
XAI_SESSION_SECONDS = 25 * 60
"""xAI's limit has been 30 minutes and more, depending on the way to it."""


class _OpenAiSession(AnsweringSession, openai.realtime.RealtimeSession):
    async def aclose(self) -> None:
        await _closed(super().aclose())


class _XaiSession(AnsweringSession, xai.realtime.RealtimeSession):
    async def aclose(self) -> None:
        await _closed(super().aclose())


class _OpenAiModel(openai.realtime.RealtimeModel):
    acceptance: Acceptance
    vad: VAD

    def session(self, *, turn_detection_disabled: bool = False) -> _OpenAiSession:
        session = _OpenAiSession(self, turn_detection_disabled=turn_detection_disabled)
        session.answering = Answering(session, "openai", self.vad)
        self._sessions.add(session)
        _watch(session, self.acceptance)
        return session


class _XaiModel(xai.realtime.RealtimeModel):
    acceptance: Acceptance
    vad: VAD

    def session(self, *, turn_detection_disabled: bool = False) -> _XaiSession:
        session = _XaiSession(self)
        session.answering = Answering(session, "xai", self.vad)
        self._sessions.add(session)
        _watch(session, self.acceptance)
        return session


async def _closed(closing: Awaitable[None]) -> None:
    """Close a session that may have failed.

    The plugin raises its failure once more at the close, which then stops half-way: nobody would
    be told that the session is over. It was emitted as an error before.
    """
    try:
        await closing
    except APIError as error:
        log.info("realtime_session_had_failed", error=type(error).__name__)


def _watch(session: openai.realtime.RealtimeSession, acceptance: Acceptance) -> None:
    """Note when the provider has taken the session.

    The answer to the first `session.update`, which names model and voice, decides: the socket is
    opened for an unknown model as well.
    """

    def received(event: dict[str, Any]) -> None:
        if event.get("type") == "session.updated":
            acceptance.taken()

    acceptance.watch(session)
    session.on("openai_server_event_received", received)


def openai_realtime(choice: RealtimeChoice, acceptance: Acceptance) -> RealtimeModel:
    """A model of OpenAI, or of a compatible server at `OPENAI_REALTIME_BASE_URL`."""
    settings = choice.settings
    model = _OpenAiModel(
        model=choice.descriptor.model,
        voice=choice.voice,
        api_key=choice.key,
        base_url=settings.openai_realtime_base_url or settings.openai_base_url or NOT_GIVEN,
        turn_detection=_openai_turns(choice),
        input_audio_transcription=_transcription("gpt-4o-mini-transcribe", choice),
        input_audio_noise_reduction=_noise_reduction(choice),
        max_session_duration=choice.session_seconds(OPENAI_SESSION_SECONDS),
        conn_options=CONNECTION,
    )
    model.acceptance = acceptance
    model.vad = choice.vad
    return model


def xai_realtime(choice: RealtimeChoice, acceptance: Acceptance) -> RealtimeModel:
    """A model of xAI."""
    settings = choice.settings
    model = _XaiModel(
        model=choice.descriptor.model,
        voice=choice.voice,
        api_key=choice.key,
        base_url=settings.xai_base_url or NOT_GIVEN,
        turn_detection=_xai_turns(choice),
        input_audio_transcription=_transcription("grok-transcribe", choice),
        max_session_duration=choice.session_seconds(XAI_SESSION_SECONDS),
        conn_options=CONNECTION,
    )
    model.acceptance = acceptance
    model.vad = choice.vad
    return model


def _transcription(model: str, choice: RealtimeChoice) -> AudioTranscription:
    # A language of null is not the same as none on the wire.
    if choice.language is None:
        return AudioTranscription(model=model)
    return AudioTranscription(model=model, language=choice.language)


def _openai_turns(choice: RealtimeChoice) -> SemanticVad | ServerVad:
    if choice.turns_by_meaning:
        return SemanticVad(
            type="semantic_vad", eagerness="auto", create_response=True, interrupt_response=True
        )
    return ServerVad(type="server_vad", create_response=True, interrupt_response=True)


def _xai_turns(choice: RealtimeChoice) -> TurnDetection:
    """Silence ends a turn; with turns by meaning, which xAI has not, it waits longer for it."""
    return TurnDetection(
        type="server_vad",
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=700 if choice.turns_by_meaning else 200,
        create_response=True,
        interrupt_response=True,
    )


def _noise_reduction(choice: RealtimeChoice) -> NoiseReductionType | None:
    wanted = choice.config.noise_cancellation
    if wanted is None or not wanted.enabled:
        return None
    return "far_field" if wanted.type == "far_field" else "near_field"
