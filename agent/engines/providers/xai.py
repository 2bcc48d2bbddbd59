"""xAI's languages, and its speech models at another base URL than the plugin's own."""

from typing import Any, cast, get_args

import aiohttp
from livekit.agents.utils import http_context

_SPEECH_URL = "wss://api.x.ai/v1"


class _AtBaseUrl:
    """The part of an HTTP client that the plugin uses; it takes no base URL for speech itself."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.replace("http", "ws", 1)

    @property
    def closed(self) -> bool:
        """Whether the job is over."""
        return http_context.http_session().closed

    async def ws_connect(self, url: str, **options: Any) -> Any:
        """Connect to the same path at the other base URL."""
        if not url.startswith(f"{_SPEECH_URL}/"):
            raise ValueError("the plugin's own base URL has changed")
        client: Any = http_context.http_session()
        return await client.ws_connect(self._base_url + url.removeprefix(_SPEECH_URL), **options)


def speech_session(base_url: str | None) -> aiohttp.ClientSession | None:
    """An HTTP client whose connections go to `base_url`; None for the plugin's own client."""
    return cast(aiohttp.ClientSession, _AtBaseUrl(base_url)) if base_url else None


def spoken_language(language: str | None) -> str:
    """A language as xAI's voices know it: some with their region, most without.

    Without a language, or with one that is not listed, the voice takes it from the text.
    """
    from livekit.plugins.xai.types import TTSLanguages  # only where xAI is used

    known: tuple[str, ...] = get_args(TTSLanguages)
    wanted = language or "auto"
    return next((each for each in (wanted, wanted.partition("-")[0]) if each in known), "auto")
