"""The audio settings of a configuration, for one call."""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.room_io import AudioInputOptions
from livekit.rtc.participant import PublishTrackError

from adapters.settings import AgentSettings
from agent.engines.parts import Notice
from agent.sound.avatar import SpeakingAvatar
from agent.sound.background import BackgroundSounds
from agent.sound.noise import noise_cancellation
from agent.sound.pronunciation import pronunciation
from domain.agents.config import DispatchedConfig

log = structlog.stdlib.get_logger(__name__)

_PUBLISH_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
"""For each kind of sound: in a deleted room LiveKit never confirms that a track is unpublished, and
the report waits for this."""


class CallSound:
    """Made on the main thread, because it imports plugins; started once the agent may be heard.

    Raises:
        EngineFault: the avatar cannot be started as configured.
    """

    def __init__(self, config: DispatchedConfig, settings: AgentSettings) -> None:
        self._filter, self.notices = noise_cancellation(config)
        """The filter, and the known differences from the configuration."""
        self._pronunciation = pronunciation(config)
        self._background = BackgroundSounds(config.background_audio)
        self.notices += self._background.notices()
        self._avatar: SpeakingAvatar | None = None
        if config.avatar is not None and config.avatar.enabled:
            self._avatar = SpeakingAvatar(config.avatar, settings, self.notices)

    def audio_input(self) -> AudioInputOptions:
        """How the caller is heard."""
        return AudioInputOptions(noise_cancellation=self._filter)

    def text_transforms(self) -> Sequence[Any]:
        """What happens to text on its way to the voice; the first two are the SDK's defaults."""
        return ["filter_markdown", "filter_emoji", *filter(None, [self._pronunciation])]

    async def start(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        """Start the avatar and the background sounds; failures become notices."""
        known = len(self.notices)
        if self._avatar is not None:
            await self._avatar.start(room, session)
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self._background.start(room, session)
        except (PublishTrackError, TimeoutError) as error:
            why = f"the track could not be published: {type(error).__name__}"
            self.notices.append(Notice("background_audio", f"{why}; the call goes on without"))
        for notice in self.notices[known:]:
            log.warning("configured_otherwise", field=notice.field, reason=notice.reason)

    async def aclose(self) -> None:
        """Stop at the end of the call; what cannot be stopped ends with the process."""
        for part in (self._avatar, self._background):
            if part is None:
                continue
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await part.aclose()
            except Exception as error:  # noqa: BLE001  # of any library; the report matters more
                log.info("sound_not_closed", part=type(part).__name__, error=type(error).__name__)
