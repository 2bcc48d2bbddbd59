"""Anthropic."""

from typing import Any

from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.plugins import anthropic

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.anthropic.com"


class Anthropic(Provider):
    """The official plugin: chat models."""

    key_setting = "ANTHROPIC_API_KEY"

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        return anthropic.LLM(
            model=descriptor.model,
            base_url=self._settings.anthropic_base_url or NOT_GIVEN,
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """The model, by its name."""
        headers = {"x-api-key": self._key(descriptor), "anthropic-version": "2023-06-01"}
        base_url = self._settings.anthropic_base_url or BASE_URL
        return self._model_probe(descriptor, f"{base_url}/v1", headers)
