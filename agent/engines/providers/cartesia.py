"""Cartesia."""

from typing import Any

from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import cartesia

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.cartesia.ai"
DEFAULT_VOICE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
_API_VERSION = "2025-04-16"


class Cartesia(Provider):
    """The official plugin: speech in both directions."""

    key_setting = "CARTESIA_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; English without a language."""
        return cartesia.STT(
            model=descriptor.model,
            language=language or "en",
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech; English without a language."""
        return cartesia.TTS(
            model=descriptor.model,
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            language=language or "en",
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The voice, or for hearing any request that needs the key."""
        headers = {"X-API-Key": self._key(descriptor), "Cartesia-Version": _API_VERSION}
        wanted = descriptor.voice or voice
        if wanted is None:
            return Probe(descriptor, self.key_setting, f"{self._base_url}/voices?limit=1", headers)
        return self._voice_probe(descriptor, wanted, self._base_url, headers)

    @property
    def _base_url(self) -> str:
        return self._settings.cartesia_base_url or BASE_URL
