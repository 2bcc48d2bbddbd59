"""LiveKit Inference: every provider's models through LiveKit's gateway and one account."""

from datetime import timedelta
from typing import Any

from livekit import api
from livekit.agents import NOT_GIVEN, inference
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

URL = "https://agent-gateway.livekit.cloud/v1"
_TOKEN_LIFE = timedelta(minutes=1)
STAGING_URL = "https://agent-gateway.staging.livekit.cloud/v1"


class Inference(Provider):
    """The SDK's own clients of the gateway; `provider/model` is passed on as it is."""

    key_setting = "LIVEKIT_INFERENCE_API_SECRET"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text."""
        return inference.STT(
            descriptor.name,
            language=language or NOT_GIVEN,
            base_url=self._url,
            api_key=self._account[0],
            api_secret=self._account[1],
        )

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        return inference.LLM(
            descriptor.name,
            base_url=self._url,
            api_key=self._account[0],
            api_secret=self._account[1],
        )

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech."""
        return inference.TTS(
            descriptor.name,
            voice=descriptor.voice or voice or NOT_GIVEN,
            language=language or NOT_GIVEN,
            base_url=self._url,
            api_key=self._account[0],
            api_secret=self._account[1],
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The gateway's own check of the account comes before anything else it says."""
        grants = api.access_token.InferenceGrants(perform=True)
        token = api.AccessToken(*self._account).with_identity("agent").with_inference_grants(grants)
        url = self._url.replace("ws", "http", 1) if self._url.startswith("ws") else self._url
        return Probe(
            descriptor,
            self.key_setting,
            f"{url}/tts?model={descriptor.name}",
            {"Authorization": f"Bearer {token.with_ttl(_TOKEN_LIFE).to_jwt()}"},
            asked="LiveKit Inference",
        )

    @property
    def _url(self) -> str:
        staging = ".staging.livekit.cloud" in self._settings.livekit_url
        return self._settings.livekit_inference_url or (STAGING_URL if staging else URL)

    @property
    def _account(self) -> tuple[str, str]:
        settings = self._settings
        secret = settings.livekit_inference_api_secret or settings.livekit_api_secret
        return (
            settings.livekit_inference_api_key or settings.livekit_api_key,
            secret.get_secret_value(),
        )
