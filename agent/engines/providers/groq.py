"""Groq."""

from typing import Any

from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import groq

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.groq.com/openai/v1"
DEFAULT_VOICE = "autumn"


class Groq(Provider):
    """The official plugin."""

    key_setting = "GROQ_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text, an utterance at a time; without a language the model detects it."""
        return groq.STT(
            model=descriptor.model,
            language=language or "",
            detect_language=language is None,
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        return groq.LLM(
            model=descriptor.model, base_url=self._base_url, api_key=self._key(descriptor)
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech."""
        return groq.TTS(
            model=descriptor.model,
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The model, by its name."""
        headers = {"Authorization": f"Bearer {self._key(descriptor)}"}
        return self._model_probe(descriptor, self._base_url, headers)

    @property
    def _base_url(self) -> str:
        return self._settings.groq_base_url or BASE_URL
