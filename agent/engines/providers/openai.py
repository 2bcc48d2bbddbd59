"""OpenAI, and every server that speaks its protocol under `OPENAI_BASE_URL`."""

from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import openai

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

DEFAULT_VOICE = "ash"
BASE_URL = "https://api.openai.com/v1"


class OpenAi(Provider):
    """The official plugin; its speech recognition takes a whole utterance at a time."""

    key_setting = "OPENAI_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; without a language the model detects it."""
        return openai.STT(
            model=descriptor.model,
            language=language or "",
            detect_language=language is None,
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        return openai.LLM(
            model=descriptor.model, base_url=self._base_url, api_key=self._key(descriptor)
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech, as raw PCM: nothing to decode before the first sound."""
        return openai.TTS(
            model=descriptor.model,
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            response_format="pcm",
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The model, by its name."""
        headers = {"Authorization": f"Bearer {self._key(descriptor)}"}
        return self._model_probe(descriptor, self._settings.openai_base_url or BASE_URL, headers)

    @property
    def _base_url(self) -> Any:
        return self._settings.openai_base_url or NOT_GIVEN
