"""AssemblyAI."""

from typing import Any, cast

from livekit.agents import NOT_GIVEN
from livekit.agents.stt import STT
from livekit.plugins import assemblyai

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "wss://streaming.assemblyai.com"
_PLUGIN_NAMES = {"universal-streaming": "universal-streaming-english"}
_TAKES_A_LANGUAGE = ("u3-", "universal-3")


class AssemblyAi(Provider):
    """The official plugin: streaming speech to text."""

    key_setting = "ASSEMBLYAI_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; models that are not of one language alone take it as a hint."""
        model = _PLUGIN_NAMES.get(descriptor.model, descriptor.model)
        hinted = language is not None and model.startswith(_TAKES_A_LANGUAGE)
        return assemblyai.STT(
            # The plugin lists the models that it knows; the server knows more.
            model=cast(Any, model),
            language_codes=language if hinted and language else NOT_GIVEN,
            base_url=self._base_url.replace("http", "ws", 1),
            api_key=self._key(descriptor),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """A token of one minute, which only a valid key is given."""
        base_url = self._base_url.replace("ws", "http", 1)
        return Probe(
            descriptor,
            self.key_setting,
            f"{base_url}/v3/token?expires_in_seconds=60",
            {"Authorization": self._key(descriptor)},
        )

    @property
    def _base_url(self) -> str:
        base_url = self._settings.assemblyai_base_url or BASE_URL
        return base_url if base_url.startswith("ws") else base_url.replace("http", "ws", 1)
