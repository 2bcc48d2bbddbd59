"""Background audio, noise cancellation and avatar providers."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from domain.agents.config_base import ConfigModel

CLIPS = (
    "city",
    "forest",
    "office",
    "crowded-room",
    "keyboard-typing",
    "keyboard-typing2",
    "hold-music",
    "chime",
)
"""The agent worker's sounds; spellings like `city-ambience` and `CITY_AMBIENCE` are equivalent."""

LOCAL_NOISE_CANCELLATION = "local"
"""The only type that runs in the agent worker itself."""
NOISE_CANCELLATION = (LOCAL_NOISE_CANCELLATION, "nc", "bvc", "bvc_telephony", "krisp")
"""All types; the others need LiveKit Cloud's plugin in the agent worker."""

ANAM = "anam"
AVATAR_PROVIDERS = (ANAM,)
"""Providers of avatars that speak for an agent."""

Volume = Annotated[float, Field(ge=0, le=1)]


class NoiseCancellation(ConfigModel):
    """Noise cancellation on the caller's audio."""

    enabled: bool = False
    type: str | None = None
    """One of `NOISE_CANCELLATION`; the default is the local one."""


class Sound(ConfigModel):
    """One sound; without a clip, the default for its purpose."""

    enabled: bool = True
    clip: str | None = None
    volume: Volume | None = None


class BackgroundAudio(ConfigModel):
    """Background sounds, each a clip's name, `true` (the default clip) or a `Sound`."""

    ambient: Sound | str | bool | None = None
    """Throughout the call."""
    tool_call: Sound | str | bool | None = None
    """While tools run."""
    turn_taking: Sound | str | bool | None = None
    """Once, when the agent starts its turn."""

    def sounds(self) -> Iterator[tuple[str, Sound]]:
        """The enabled sounds, by the name of their field."""
        for name in type(self).model_fields:
            value: Sound | str | bool | None = getattr(self, name)
            sound = Sound(clip=value) if isinstance(value, str) else value
            if sound is True:
                sound = Sound()
            if sound and sound.enabled:
                yield name, sound


def clip_name(text: str) -> str | None:
    """The clip in the spelling of `CLIPS`; None if there is no such clip."""
    plain = text.strip().lower().replace("_", "-").removesuffix(".ogg").removesuffix("-ambience")
    return plain if plain in CLIPS else None


def noise_cancellation_type(text: str | None) -> str | None:
    """The type in the spelling of `NOISE_CANCELLATION`; None if there is no such type."""
    plain = (text or LOCAL_NOISE_CANCELLATION).strip().lower().replace("-", "_")
    return plain if plain in NOISE_CANCELLATION else None
