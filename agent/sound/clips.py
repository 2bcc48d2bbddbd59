"""The sounds that the agent worker has."""

from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents import AudioConfig, BuiltinAudioClip

from domain.agents.sound_config import Sound, clip_name

CHIME = "chime"
_USUAL = {
    "ambient": ("office", 0.5),
    "tool_call": ("keyboard-typing", 0.7),
    "turn_taking": (CHIME, 0.4),
}
"""Clip and volume of each place if the configuration names none."""

_BUILT_IN = {
    "city": BuiltinAudioClip.CITY_AMBIENCE,
    "forest": BuiltinAudioClip.FOREST_AMBIENCE,
    "office": BuiltinAudioClip.OFFICE_AMBIENCE,
    "crowded-room": BuiltinAudioClip.CROWDED_ROOM,
    "keyboard-typing": BuiltinAudioClip.KEYBOARD_TYPING,
    "keyboard-typing2": BuiltinAudioClip.KEYBOARD_TYPING2,
    "hold-music": BuiltinAudioClip.HOLD_MUSIC,
}

_CHIME_RATE = 48_000
_CHIME_TONES = ((659.0, 0.09), (880.0, 0.13))
"""Hertz and seconds: two short tones, rising."""


def audio(place: str, sound: Sound) -> AudioConfig:
    """What is to be played in a place (`ambient`, `tool_call`, `turn_taking`), and how loud."""
    usual_clip, usual_volume = _USUAL[place]
    clip = clip_name(sound.clip or usual_clip) or usual_clip
    volume = usual_volume if sound.volume is None else sound.volume
    if clip == CHIME:
        return AudioConfig(chime(), volume=volume)
    return AudioConfig(_BUILT_IN[clip], volume=volume)


def unknown_clip(sound: Sound) -> bool:
    """Whether a sound names a clip that does not exist."""
    return sound.clip is not None and clip_name(sound.clip) is None


async def chime() -> AsyncIterator[rtc.AudioFrame]:
    """Two short tones, generated because none of the bundled recordings is short."""
    for hertz, seconds in _CHIME_TONES:
        samples = int(_CHIME_RATE * seconds)
        n = np.arange(samples)
        envelope = np.sin(np.pi * n / samples)
        wave = 16_000 * envelope * np.sin(2 * np.pi * hertz * n / _CHIME_RATE)
        yield rtc.AudioFrame(wave.astype(np.int16).tobytes(), _CHIME_RATE, 1, samples)
