"""OpenAI, and every server that speaks its protocol under `OPENAI_BASE_URL`."""

from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import openai

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault

DEFAULT_VOICE = "ash"


class OpenAiProvider:
    """Builds the stock plugin's models for one session."""

    def __init__(self, settings: AgentSettings) -> None:
        self._base_url = settings.openai_base_url or NOT_GIVEN
        self._key = settings.openai_api_key

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; without a language the model detects it."""
        return openai.STT(
            model=descriptor.model,
            language=language or "",
            detect_language=language is None,
            base_url=self._base_url,
            api_key=self._api_key(descriptor),
        )

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        return openai.LLM(
            model=descriptor.model,
            base_url=self._base_url,
            api_key=self._api_key(descriptor),
        )

    def text_to_speech(self, descriptor: Descriptor, voice: str | None) -> TTS[Any]:
        """Text to speech, as raw PCM: nothing to decode before the first sound."""
        return openai.TTS(
            model=descriptor.model,
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            response_format="pcm",
            base_url=self._base_url,
            api_key=self._api_key(descriptor),
        )

    def _api_key(self, descriptor: Descriptor) -> str:
        if self._key is None:
            raise EngineFault(
                descriptor.field,
                "provider 'openai' has no key on this agent worker",
                "set OPENAI_API_KEY (any value if the server at OPENAI_BASE_URL asks for none)",
            )
        return self._key.get_secret_value()
