"""What every provider of models is: up to three builders, and how its account is probed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from pydantic import SecretStr

from adapters.settings import AgentSettings
from agent.engines.descriptor import Descriptor
from agent.engines.faults import EngineFault


@dataclass(frozen=True)
class Probe:
    """A cheap request that a provider refuses if a stage's key, model or voice is wrong."""

    descriptor: Descriptor
    key_setting: str
    """The setting that holds the key, for the cure."""
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    asked: str | None = None
    """Who is asked, if not the descriptor's provider."""
    names: str | None = None
    """What the URL names (`the model 'x'`), if a 404 means that there is no such thing."""

    def fault(self, status: int, body: str) -> EngineFault | None:
        """What an answer says; None unless the stage certainly cannot work."""
        if refuses_key(status, body):
            return EngineFault(
                self.descriptor.field,
                f"{self.asked or repr(self.descriptor.provider)} refuses the key (status {status})",
                f"correct {self.key_setting}",
            )
        if status == 404 and self.names and names_nothing(body):
            return EngineFault(
                self.descriptor.field,
                f"{self.descriptor.provider!r} does not have {self.names} for this account",
                "name one that the account may use",
            )
        return None


def refuses_key(status: int, body: str) -> bool:
    """Whether an answer says that the key is not valid (rather than not allowed to be asked)."""
    if status == 401:
        # ElevenLabs answers so to a good key that may speak but not look up voices.
        return "missing_permissions" not in body
    # Google's answer to a key that does not exist.
    return status in (400, 403) and "API_KEY_INVALID" in body


def names_nothing(body: str) -> bool:
    """Whether a 404 is the provider's own, and not that of a server without such a route."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return False
    # FastAPI's (and so many a compatible server's) answer to a route that does not exist.
    return isinstance(answer, dict) and cast(dict[str, Any], answer) != {"detail": "Not Found"}


class Provider:
    """Builds a provider's models with its official plugin; those it has none of are faults."""

    key_setting: str
    """Environment variable of the key, upper case."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; without a language the provider's default."""
        raise self._without(descriptor, "speech-to-text models")

    def chat_model(self, descriptor: Descriptor) -> LLM[Any]:
        """The chat model."""
        raise self._without(descriptor, "chat models")

    def text_to_speech(
        self, descriptor: Descriptor, voice: str | None, language: str | None
    ) -> TTS[Any]:
        """Text to speech; the descriptor's own voice goes before `voice`."""
        raise self._without(descriptor, "text-to-speech models")

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe | None:
        """How to find out whether key, model and voice are accepted; None if it cannot be."""
        return None

    def _model_probe(
        self, descriptor: Descriptor, base_url: str, headers: Mapping[str, str]
    ) -> Probe:
        url = f"{base_url}/models/{descriptor.model}"
        names = f"the model {descriptor.model!r}"
        return Probe(descriptor, self.key_setting, url, headers, names=names)

    def _voice_probe(
        self, descriptor: Descriptor, voice: str, base_url: str, headers: Mapping[str, str]
    ) -> Probe:
        names = f"the voice {voice!r}"
        url = f"{base_url}/voices/{voice}"
        return Probe(descriptor, self.key_setting, url, headers, names=names)

    def _without(self, descriptor: Descriptor, models: str) -> EngineFault:
        return EngineFault(
            descriptor.field,
            f"provider {descriptor.provider!r} has no {models} on this agent worker",
            "use another provider for this stage",
        )

    def _key(self, descriptor: Descriptor) -> str:
        key = cast(SecretStr | None, getattr(self._settings, self.key_setting.lower()))
        if key is None:
            raise EngineFault(
                descriptor.field,
                f"provider {descriptor.provider!r} has no key on this agent worker",
                f"set {self.key_setting}",
            )
        return key.get_secret_value()
