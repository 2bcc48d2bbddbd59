"""A video avatar that speaks for the agent."""

import asyncio
from importlib import import_module
from typing import Any, cast

import structlog
from livekit import rtc
from livekit.agents import NOT_GIVEN, AgentSession, APIError
from livekit.agents.voice.io import AudioOutput

from adapters.settings import AgentSettings
from agent.engines.faults import EngineFault, Notice
from domain.agent_config import Avatar

log = structlog.stdlib.get_logger(__name__)

ANAM = "anam"
_ANAM_PLUGIN = "livekit.plugins.anam"
START_SECONDS = 10.0
"""Time limit of the provider's answer; the caller waits for it in silence."""
JOIN_SECONDS = 15.0
"""After that the agent speaks for itself again."""


class SpeakingAvatar:
    """The configured avatar; the agent goes on without a picture if it cannot be had.

    Raises:
        EngineFault: by the constructor, of what is missing in the configuration.
    """

    def __init__(self, config: Avatar, settings: AgentSettings) -> None:
        self._config = config
        self._settings = settings
        if config.provider not in (None, ANAM):
            raise EngineFault(
                "avatar.provider", f"there is no provider {config.provider!r:.100}", f"use {ANAM!r}"
            )
        given = config.anam or {}
        self._avatar_id = _one_of(given, "avatarId", "avatar_id")
        if self._avatar_id is None:
            raise EngineFault("avatar.anam.avatarId", "is missing", "name an avatar of Anam's")
        self._key = _one_of(given, "apiKey", "api_key") or _secret(settings)
        if self._key is None:
            raise EngineFault(
                "avatar.anam.apiKey", "there is no key of Anam's", "give one, or set ANAM_API_KEY"
            )
        self._session: Any = None
        self._waiting: asyncio.Task[None] | None = None

    async def start(self, room: rtc.Room, session: AgentSession[Any]) -> list[Notice]:
        """Have the avatar join the room and speak; a notice says why it does not."""
        voice = _last(session.output.audio)
        self._session = self._anam_session()
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._session.start(
                    session,
                    room=room,
                    livekit_url=self._settings.everline_livekit_public_url
                    or self._settings.livekit_url,
                    livekit_api_key=self._settings.livekit_api_key,
                    livekit_api_secret=self._settings.livekit_api_secret.get_secret_value(),
                )
        except (APIError, TimeoutError) as error:
            await self._session.aclose()
            self._session = None
            status = getattr(error, "status_code", None)
            why = type(error).__name__ + (f" with status {status}" if status else "")
            return [Notice("avatar", f"Anam did not start it: {why}; the agent speaks without it")]
        log.info("avatar_started", provider=ANAM)
        self._waiting = asyncio.create_task(self._watch(session, voice))
        return []

    async def aclose(self) -> None:
        """Stop waiting for it; it leaves with the agent."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _watch(self, session: AgentSession[Any], voice: AudioOutput | None) -> None:
        try:
            await self._session.wait_for_join(timeout=JOIN_SECONDS)
        except TimeoutError:
            log.error("avatar_never_joined", provider=ANAM, seconds=JOIN_SECONDS)
            if voice is not None:
                session.output.replace_audio_tail(voice)

    def _anam_session(self) -> Any:
        anam: Any = import_module(_ANAM_PLUGIN)
        given = self._config.anam or {}
        name = self._config.avatar_participant_name
        persona = anam.PersonaConfig(
            name=_one_of(given, "name", "personaName", "persona_name") or name or "avatar",
            avatarId=self._avatar_id,
            avatarModel=_one_of(given, "avatarModel", "avatar_model"),
        )
        return anam.AvatarSession(
            persona_config=persona,
            api_key=self._key,
            api_url=self._settings.anam_api_url or NOT_GIVEN,
            avatar_participant_name=name or NOT_GIVEN,
        )


def load_avatar_plugin(config: Avatar | None) -> None:
    """Import the plugin if the configuration wants an avatar; on the main thread."""
    if config is not None and config.enabled:
        import_module(_ANAM_PLUGIN)


def _one_of(given: dict[str, Any], *names: str) -> str | None:
    """The first of these fields that is set: configurations spell them in both ways."""
    values = (given.get(name) for name in names)
    return cast(str | None, next((value for value in values if value), None))


def _secret(settings: AgentSettings) -> str | None:
    key = settings.anam_api_key
    return key.get_secret_value() if key else None


def _last(output: AudioOutput | None) -> AudioOutput | None:
    """The sink at the end of the chain: what is sent into the room."""
    while output is not None and output.next_in_chain is not None:
        output = output.next_in_chain
    return output
