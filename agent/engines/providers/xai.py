"""xAI."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import aiohttp
from livekit.agents import NOT_GIVEN
from livekit.agents.llm import LLM
from livekit.agents.stt import STT
from livekit.agents.tts import TTS
from livekit.agents.utils import http_context
from livekit.plugins import xai
from livekit.plugins.xai.types import TTSLanguages

from agent.engines.descriptor import Descriptor
from agent.engines.providers.base import Probe, Provider

BASE_URL = "https://api.x.ai/v1"
DEFAULT_VOICE = "ara"
_SPEECH_URL = BASE_URL.replace("http", "ws", 1)
_SPOKEN: frozenset[str] = frozenset(get_args(TTSLanguages))


class _AtBaseUrl:
    """What the plugin's speech models use of an HTTP client; they take no base URL themselves."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.replace("http", "ws", 1)

    @property
    def closed(self) -> bool:
        """Whether the job is over."""
        return http_context.http_session().closed

    async def ws_connect(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Sequence[tuple[str, str]] = (),
        heartbeat: float | None = None,
    ) -> aiohttp.ClientWebSocketResponse:
        """Connect to the same path at the other base URL."""
        if not url.startswith(f"{_SPEECH_URL}/"):
            raise ValueError("the plugin's own base URL has changed")
        return await http_context.http_session().ws_connect(
            self._base_url + url.removeprefix(_SPEECH_URL),
            headers=headers,
            params=params,
            heartbeat=heartbeat,
        )


class Xai(Provider):
    """The official plugin; it has one model of each speech stage."""

    key_setting = "XAI_API_KEY"

    def speech_to_text(self, descriptor: Descriptor, language: str | None) -> STT[Any]:
        """Speech to text; English without a language."""
        return xai.STT(
            language=_without_region(language or "en"),
            api_key=self._key(descriptor),
            http_session=self._http_client(),
        )

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
        """Text to speech; without a language, or one that is not listed, it is that of the text."""
        return xai.TTS(
            voice=descriptor.voice or voice or DEFAULT_VOICE,
            language=spoken_language(language),
            api_key=self._key(descriptor),
            http_session=self._http_client(),
        )

    def probe(self, descriptor: Descriptor, voice: str | None) -> Probe:
        """What the key may use."""
        return Probe(
            descriptor,
            self.key_setting,
            f"{self._settings.xai_base_url or BASE_URL}/models",
            {"Authorization": f"Bearer {self._key(descriptor)}"},
        )

    def _http_client(self) -> aiohttp.ClientSession | None:
        base_url = self._settings.xai_base_url
        return cast(aiohttp.ClientSession, _AtBaseUrl(base_url)) if base_url else None


def spoken_language(language: str | None) -> str:
    """A language as xAI's voices know it: some with their region, most without."""
    if language in _SPOKEN:
        return language
    bare = _without_region(language or "auto")
    return bare if bare in _SPOKEN else "auto"


def _without_region(language: str) -> str:
    return language.partition("-")[0]
