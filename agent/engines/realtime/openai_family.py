"""OpenAI's realtime models, and xAI's, which speak the same protocol."""
# The SDK leaves the types of a realtime session's event handlers open:
# pyright: reportUnknownMemberType=false

from typing import Any, cast

import structlog
from livekit.agents import NOT_GIVEN, APIError
from livekit.agents.llm import RealtimeModel
from livekit.plugins import openai, xai
from livekit.plugins.xai.realtime.realtime_model import XAI_DEFAULT_TURN_DETECTION
from openai.types.beta.realtime.session import TurnDetection
from openai.types.realtime import AudioTranscription, NoiseReductionType
from openai.types.realtime.realtime_audio_input_turn_detection import SemanticVad, ServerVad

from agent.engines.realtime.answering import AnsweringSession
from agent.engines.realtime.engine import CONNECTION, RealtimeChoice, WatchedModel

log = structlog.stdlib.get_logger(__name__)

OPENAI_SESSION_SECONDS = 50 * 60
"""OpenAI ends a session after 60 minutes."""
XAI_SESSION_SECONDS = 25 * 60
"""xAI has ended sessions after 30 minutes or later, depending on the route."""


class _ClosableSession(AnsweringSession):
    async def aclose(self) -> None:
        """Close a session that may have failed.

        On close the plugin raises the session's failure again, and stops half-way: nobody would be
        told that the session is over. The failure was emitted as an error before.
        """
        try:
            await super().aclose()
        except APIError as error:
            log.info("realtime_session_had_failed", error=type(error).__name__)


class _OpenAiSession(_ClosableSession, openai.realtime.RealtimeSession): ...


class _XaiSession(_ClosableSession, xai.realtime.RealtimeSession): ...


class _OpenAiModel(WatchedModel, openai.realtime.RealtimeModel):
    session_class = _OpenAiSession


class _XaiModel(WatchedModel, xai.realtime.RealtimeModel):
    session_class = _XaiSession


def openai_realtime(choice: RealtimeChoice) -> RealtimeModel:
    """A model of OpenAI, or of a compatible server at `OPENAI_REALTIME_BASE_URL`."""
    settings = choice.inputs.settings
    return _OpenAiModel(
        **choice.common,
        base_url=settings.openai_realtime_base_url or settings.openai_base_url or NOT_GIVEN,
        turn_detection=_openai_turns(choice),
        input_audio_transcription=_transcription("gpt-4o-mini-transcribe", choice),
        input_audio_noise_reduction=_noise_reduction(choice),
        max_session_duration=choice.session_seconds(OPENAI_SESSION_SECONDS),
        conn_options=CONNECTION,
    )


def xai_realtime(choice: RealtimeChoice) -> RealtimeModel:
    """A model of xAI, which has no turns by meaning: it waits longer for silence instead."""
    silence = {"silence_duration_ms": 700 if choice.turns_by_meaning else 200}
    return _XaiModel(
        **choice.common,
        base_url=choice.inputs.settings.xai_base_url or NOT_GIVEN,
        turn_detection=cast(TurnDetection, XAI_DEFAULT_TURN_DETECTION.model_copy(update=silence)),
        input_audio_transcription=_transcription("grok-transcribe", choice),
        max_session_duration=choice.session_seconds(XAI_SESSION_SECONDS),
        conn_options=CONNECTION,
    )


def _transcription(model: str, choice: RealtimeChoice) -> AudioTranscription:
    # On the wire, a language of null differs from no language.
    language: Any = {"language": choice.language} if choice.language else {}
    return AudioTranscription(model=model, **language)


def _openai_turns(choice: RealtimeChoice) -> SemanticVad | ServerVad:
    if choice.turns_by_meaning:
        return SemanticVad(
            type="semantic_vad", eagerness="auto", create_response=True, interrupt_response=True
        )
    return ServerVad(type="server_vad", create_response=True, interrupt_response=True)


def _noise_reduction(choice: RealtimeChoice) -> NoiseReductionType | None:
    wanted = choice.inputs.config.noise_cancellation
    if wanted is None or not wanted.enabled:
        return None
    return "far_field" if wanted.type == "far_field" else "near_field"
