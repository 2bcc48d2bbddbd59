"""ElevenLabs."""

from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.plugins import elevenlabs

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.elevenlabs.io/v1"
DEFAULT_VOICE = "hpp4J3VqNfWAUOO0d1Us"
_STREAMING_EARS = "scribe_v2_realtime"
_TURN_ENDS_AFTER_SECONDS = 0.5


class ElevenLabs(Provider):
    """The official plugin: speech in both directions."""

    key_setting = "ELEVEN_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; without a language the model detects it.

        A model that streams ends utterances itself: it would otherwise wait to be told, which the
        session does neither without voice activity detection nor with another provider's fallback.
        """
        streams = descriptor.model == _STREAMING_EARS
        return elevenlabs.STT(
            model=descriptor.model,
            # The service knows languages without their region.
            language_code=language.partition("-")[0] if language else NOT_GIVEN,
            server_vad={"vad_silence_threshold_secs": _TURN_ENDS_AFTER_SECONDS}
            if streams
            else NOT_GIVEN,
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech; without a language the model takes it from the text."""
        return elevenlabs.TTS(
            model=descriptor.model,
            voice_id=descriptor.voice or voice or DEFAULT_VOICE,
            language=language or NOT_GIVEN,
            # Nothing to decode before the first sound.
            encoding="pcm_24000",
            base_url=self._base_url,
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The voice, or for hearing any request that needs the key."""
        headers = {"xi-api-key": self._key(descriptor)}
        wanted = descriptor.voice or voice
        if wanted is None:
            return Probe(descriptor, self.key_setting, f"{self._base_url}/models", headers)
        return self._voice_probe(descriptor, wanted, self._base_url, headers)

    @property
    def _base_url(self) -> str:
        return self._settings.eleven_base_url or BASE_URL
