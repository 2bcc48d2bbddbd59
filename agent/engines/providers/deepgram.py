"""Deepgram."""

from typing import Any

from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import deepgram

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.deepgram.com"
DEFAULT_VOICE = "andromeda"


class Deepgram(Provider):
    """The official plugin: speech in both directions."""

    key_setting = "DEEPGRAM_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; English without a language. `flux` models have an API of their own."""
        key = self._key(descriptor)
        if descriptor.model.startswith("flux"):
            return deepgram.STTv2(
                model=flux_model(descriptor.model, language),
                base_url=f"{self._base_url.replace('http', 'ws', 1)}/v2/listen",
                api_key=key,
            )
        return deepgram.STT(
            model=descriptor.model,
            language=language or "en-US",
            base_url=f"{self._base_url}/v1/listen",
            api_key=key,
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech; Deepgram's own model names hold the voice and the language."""
        return deepgram.TTS(
            model=voice_model(descriptor.model, descriptor.voice or voice, language),
            base_url=f"{self._base_url}/v1/speak",
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """Whose key it is."""
        return Probe(
            descriptor,
            self.key_setting,
            f"{self._base_url}/v1/auth/token",
            {"Authorization": f"Token {self._key(descriptor)}"},
        )

    @property
    def _base_url(self) -> str:
        return self._settings.deepgram_base_url or BASE_URL


def flux_model(model: str, language: str | None) -> str:
    """The name of a flux model with its languages: `flux-general` alone is English or any."""
    if model != "flux-general":
        return model
    english = language is None or language.lower().startswith("en")
    return f"{model}-{'en' if english else 'multi'}"


def voice_model(model: str, voice: str | None, language: str | None) -> str:
    """`aura-2` with a voice as Deepgram spells it, `aura-2-andromeda-en`; a full name stays."""
    if model not in ("aura", "aura-2"):
        return model
    voice = voice or (DEFAULT_VOICE if model == "aura-2" else "asteria")
    if voice.startswith("aura-"):
        return voice
    has_language = "-" in voice
    return f"{model}-{voice}" if has_language else f"{model}-{voice}-{(language or 'en')[:2]}"
