"""Sounds beside the conversation: ambience, tools at work, the agent taking its turn."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

from typing import Any

import structlog
from livekit import rtc
from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    BackgroundAudioPlayer,
    BuiltinAudioClip,
    PlayHandle,
)
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted, ToolExecutionUpdatedEvent

from agent.engines.faults import Notice
from agent.sound.clips import audio, unknown_clip
from domain.agents.sound_config import BackgroundAudio, Sound

log = structlog.stdlib.get_logger(__name__)


class BackgroundSounds:
    """Plays what the configuration switches on, on a track of its own."""

    def __init__(self, config: BackgroundAudio | None) -> None:
        self._sounds: dict[str, Sound] = dict(config.sounds()) if config else {}
        self._player: BackgroundAudioPlayer | None = None
        self._tools: set[str] = set()
        self._typing: PlayHandle | None = None

    def notices(self) -> list[Notice]:
        """Clips that do not exist."""
        return [
            Notice(f"background_audio.{place}", "there is no such clip; the usual one is played")
            for place, sound in self._sounds.items()
            if unknown_clip(sound)
        ]

    async def start(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        """Publish the track and start the ambience, if any sound is configured."""
        if not self._sounds:
            return
        ambient = self._sounds.get("ambient")
        player = BackgroundAudioPlayer(ambient_sound=audio("ambient", ambient) if ambient else None)
        await player.start(room=room)
        self._player = player
        if "tool_call" in self._sounds:
            session.on("tool_execution_updated", self._tool)
        if "turn_taking" in self._sounds:
            session.on("agent_state_changed", self._state)
        log.info("background_audio_started", sounds=sorted(self._sounds))

    async def aclose(self) -> None:
        """Stop every sound."""
        player, self._player = self._player, None
        if player is not None:
            await player.aclose()

    def _tool(self, event: ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if isinstance(update, ToolCallStarted):
            self._tools.add(update.function_call.call_id)
        elif isinstance(update, ToolCallEnded):
            self._tools.discard(update.call_id)
        if self._tools and self._typing is None:
            self._typing = self._play("tool_call", loop=True)
        elif not self._tools and self._typing is not None:
            self._typing.stop()
            self._typing = None

    def _state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "thinking" and event.old_state != "speaking":
            self._play("turn_taking", loop=False)

    def _play(self, place: str, *, loop: bool) -> PlayHandle | None:
        if self._player is None or place not in self._sounds:
            return None
        config = audio(place, self._sounds[place])
        # The chime is generated while it plays, and cannot start again.
        return self._player.play(config, loop=loop and isinstance(config.source, BuiltinAudioClip))
