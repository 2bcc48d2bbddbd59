"""Google's Gemini API. Its speech models need other credentials and go through Inference."""

from typing import Any

from google.genai.types import HttpOptions
from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.plugins import google

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://generativelanguage.googleapis.com"
_API_VERSION = "v1beta"
_TIMEOUT_MS = 30_000


class Google(Provider):
    """The official plugin: chat models."""

    key_setting = "GOOGLE_API_KEY"

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        base_url = self._settings.google_gemini_base_url
        return google.LLM(
            model=descriptor.model,
            api_key=self._key(descriptor),
            vertexai=False,
            http_options=HttpOptions(
                base_url=base_url, api_version=_API_VERSION, timeout=_TIMEOUT_MS
            )
            if base_url
            else NOT_GIVEN,
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The model, by its name."""
        base_url = self._settings.google_gemini_base_url or BASE_URL
        headers = {"x-goog-api-key": self._key(descriptor)}
        return self._model_probe(descriptor, f"{base_url}/{_API_VERSION}", headers)
