"""Background sounds: ambience, running tools, the agent's turn."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import structlog
from livekit import rtc
from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    AudioConfig,
    BackgroundAudioPlayer,
    BuiltinAudioClip,
    PlayHandle,
)
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted, ToolExecutionUpdatedEvent

from agent.engines.parts import Notice
from domain.agents.sound_config import BackgroundAudio, Sound, clip_name

log = structlog.stdlib.get_logger(__name__)

_CHIME = "chime"
_USUAL = {
    "ambient": ("office", 0.5),
    "tool_call": ("keyboard-typing", 0.7),
    "turn_taking": (_CHIME, 0.4),
}
"""Clip and volume of each place if the configuration names none."""

_BUILT_IN = {clip_name(clip.value): clip for clip in BuiltinAudioClip}

_CHIME_RATE = 48_000
_CHIME_TONES = ((659.0, 0.09), (880.0, 0.13))
"""Hertz and seconds: two short tones, rising."""


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
            if sound.clip is not None and clip_name(sound.clip) is None
        ]

    async def start(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        """Publish the track and start the ambience, if any sound is configured."""
        if not self._sounds:
            return
        ambient = self._sounds.get("ambient")
        player = BackgroundAudioPlayer(
            ambient_sound=_audio("ambient", ambient) if ambient else None
        )
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
        if self._player is None:
            return None
        config = _audio(place, self._sounds[place])
        # The chime is generated while it plays, and cannot start again.
        return self._player.play(config, loop=loop and isinstance(config.source, BuiltinAudioClip))


def _audio(place: str, sound: Sound) -> AudioConfig:
    """The sound of a place (`ambient`, `tool_call`, `turn_taking`), with its volume."""
    usual_clip, usual_volume = _USUAL[place]
    clip = clip_name(sound.clip or usual_clip) or usual_clip
    volume = usual_volume if sound.volume is None else sound.volume
    if clip == _CHIME:
        return AudioConfig(_chime(), volume=volume)
    return AudioConfig(_BUILT_IN[clip], volume=volume)


async def _chime() -> AsyncIterator[rtc.AudioFrame]:
    """Two short tones, generated because none of the bundled recordings is short."""
    for hertz, seconds in _CHIME_TONES:
        samples = int(_CHIME_RATE * seconds)
        n = np.arange(samples)
        envelope = np.sin(np.pi * n / samples)
        wave = 16_000 * envelope * np.sin(2 * np.pi * hertz * n / _CHIME_RATE)
        yield rtc.AudioFrame(wave.astype(np.int16).tobytes(), _CHIME_RATE, 1, samples)
