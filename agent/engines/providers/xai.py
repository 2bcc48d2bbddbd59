"""xAI."""

from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import xai

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.x.ai/v1"
DEFAULT_VOICE = "ara"


class Xai(Provider):
    """The official plugin. It has one model of each speech stage, and no base URL for them."""

    key_setting = "XAI_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; English without a language."""
        return xai.STT(language=language or "en", api_key=self._key(descriptor))

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model, over xAI's responses API."""
        return xai.responses.LLM(
            model=descriptor.model,
            base_url=self._settings.xai_base_url or NOT_GIVEN,
            api_key=self._key(descriptor),
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech."""
        return xai.TTS(
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            language=language or "auto",
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """What the key may use."""
        return Probe(
            descriptor,
            self.key_setting,
            f"{self._settings.xai_base_url or BASE_URL}/models",
            {"Authorization": f"Bearer {self._key(descriptor)}"},
        )
