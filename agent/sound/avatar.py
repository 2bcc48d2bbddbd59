"""A video avatar that speaks for the agent."""
# The SDK leaves the types of a room's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import NOT_GIVEN, AgentSession, APIError
from livekit.agents.utils import wait_for_participant
from livekit.agents.voice.io import AudioOutput

from adapters.settings import AgentSettings
from agent.engines.parts import EngineFault, Notice
from domain.agents.config import Avatar
from domain.agents.sound_config import ANAM

log = structlog.stdlib.get_logger(__name__)

LEAVING_SECONDS = 1.0
"""If the room is being closed, the agent leaves within this time as well."""
JOIN_SECONDS = 15.0
"""For the provider's answer and the avatar's join; the caller waits in silence."""


class SpeakingAvatar:
    """The configured avatar; without it the agent continues with its own voice.

    Make it on the main thread, where plugins must be imported. `notices` gets the reason if the
    avatar does not speak.

    Raises:
        EngineFault: by the constructor, if there is no key; the API has checked the rest.
    """

    def __init__(self, config: Avatar, settings: AgentSettings, notices: list[Notice]) -> None:
        self._anam: Any = import_module("livekit.plugins.anam")
        self._config = config
        self._settings = settings
        default = settings.anam_api_key
        self._key = config.anam_setting("apiKey", "api_key") or (
            default.get_secret_value() if default else None
        )
        if self._key is None:
            raise EngineFault(
                "avatar.anam.apiKey", "there is no key of Anam's", "give one, or set ANAM_API_KEY"
            )
        self._watching: asyncio.Task[None] | None = None
        self._notices = notices

    async def start(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        """Let the avatar join the room and speak, or else the agent itself.

        The agent must not speak before this returns: audio for an absent avatar would wait for it,
        and block all later speech, even after the agent has got its own voice back.
        """
        voice = _last(session.output.audio)
        avatar = self._anam_session()
        settings = self._settings
        accepted = False

        def speak_without(why: str) -> None:
            self._notices.append(Notice("avatar", f"{why}; the agent speaks without it"))
            if voice is not None:
                session.output.replace_audio_tail(voice)

        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await avatar.start(
                    session,
                    room=room,
                    livekit_url=settings.everline_livekit_public_url or settings.livekit_url,
                    livekit_api_key=settings.livekit_api_key,
                    livekit_api_secret=settings.livekit_api_secret.get_secret_value(),
                )
                accepted = True
                await avatar.wait_for_join(timeout=None)
        except (APIError, TimeoutError, RuntimeError) as error:
            # RuntimeError: the SDK raises it if the room was left meanwhile.
            speak_without(_why(error, accepted))
            self._watching = asyncio.create_task(_remove_late(room, avatar))
            return
        log.info("avatar_joined", provider=ANAM)
        self._watching = asyncio.create_task(_watch(room, avatar, speak_without))

    async def aclose(self) -> None:
        """Stop watching; an avatar that joined leaves with the agent."""
        if self._watching is not None:
            self._watching.cancel()

    def _anam_session(self) -> Any:
        given = self._config.anam_setting
        name = self._config.avatar_participant_name
        persona = self._anam.PersonaConfig(
            name=given("name", "personaName", "persona_name") or name or "avatar",
            avatarId=self._config.anam_avatar_id,
            avatarModel=given("avatarModel", "avatar_model"),
        )
        return self._anam.AvatarSession(
            persona_config=persona,
            api_key=self._key,
            api_url=self._settings.anam_api_url or NOT_GIVEN,
            avatar_participant_name=name or NOT_GIVEN,
        )


async def _watch(room: rtc.Room, avatar: Any, speak_without: Callable[[str], None]) -> None:
    """Let the agent speak itself once the avatar has left."""
    left = asyncio.Event()

    def note(participant: rtc.RemoteParticipant) -> None:
        if participant.identity == avatar.avatar_identity:
            left.set()

    room.on("participant_disconnected", note)
    try:
        if avatar.avatar_identity in room.remote_participants:
            await left.wait()
        await asyncio.sleep(LEAVING_SECONDS)
    finally:
        room.off("participant_disconnected", note)
    log.error("avatar_left", provider=ANAM)
    speak_without("it left during the call")


async def _remove_late(room: rtc.Room, avatar: Any) -> None:
    """Remove an avatar that joins too late: it would stay silent, and cost money."""
    try:
        await wait_for_participant(room=room, identity=avatar.avatar_identity)
    except RuntimeError:
        return
    log.warning("avatar_turned_away", provider=ANAM)
    await avatar.aclose()


def _why(error: Exception, accepted: bool) -> str:
    if accepted and isinstance(error, TimeoutError):
        return f"Anam accepted it, and it did not join within {JOIN_SECONDS:g} s"
    status = getattr(error, "status_code", None)
    known = f" with status {status}" if status else ""
    return f"Anam did not start it: {type(error).__name__}{known}"


def _last(output: AudioOutput | None) -> AudioOutput | None:
    """The sink at the end of the chain: what is sent into the room."""
    while output is not None and output.next_in_chain is not None:
        output = output.next_in_chain
    return output
