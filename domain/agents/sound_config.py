"""What is heard beside the words, and what is taken out of what is heard."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from domain.agents.config_model import ConfigModel

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
"""Sounds that the agent worker has; `city-ambience` and `CITY_AMBIENCE` mean the same."""

LOCAL_NOISE_CANCELLATION = "local"
"""Needs nothing but the agent worker."""
NOISE_CANCELLATION = (LOCAL_NOISE_CANCELLATION, "nc", "bvc", "bvc_telephony", "krisp")
"""Known types; all but the local one need LiveKit Cloud's plugin in the agent worker."""

ANAM = "anam"
AVATAR_PROVIDERS = (ANAM,)
"""Who has avatars that can speak for an agent."""

Volume = Annotated[float, Field(ge=0, le=1)]


class NoiseCancellation(ConfigModel):
    """Noise cancellation on the caller's audio."""

    enabled: bool = False
    type: str | None = None
    """One of `NOISE_CANCELLATION`; the local one if none is named."""


class Sound(ConfigModel):
    """One sound; without a clip the one that is usual in its place."""

    enabled: bool = True
    clip: str | None = None
    volume: Volume | None = None


class BackgroundAudio(ConfigModel):
    """Sounds beside the conversation: each a clip's name, `true` (the usual one) or a `Sound`."""

    ambient: Sound | str | bool | None = None
    """Goes on through the whole call."""
    tool_call: Sound | str | bool | None = None
    """While tools run."""
    turn_taking: Sound | str | bool | None = None
    """Once, when the agent takes its turn."""

    def sounds(self) -> Iterator[tuple[str, Sound]]:
        """The sounds that are switched on, by the name of their field."""
        for name in type(self).model_fields:
            sound = _as_sound(getattr(self, name))
            if sound is not None and sound.enabled:
                yield name, sound


def clip_name(text: str) -> str | None:
    """The clip that is meant, in the spelling of `CLIPS`; None if there is no such clip."""
    plain = text.strip().lower().replace("_", "-").removesuffix(".ogg").removesuffix("-ambience")
    return plain if plain in CLIPS else None


def noise_cancellation_type(text: str | None) -> str | None:
    """The type that is meant, in the spelling of `NOISE_CANCELLATION`; None if there is none."""
    plain = (text or LOCAL_NOISE_CANCELLATION).strip().lower().replace("-", "_")
    return plain if plain in NOISE_CANCELLATION else None


def _as_sound(value: Sound | str | bool | None) -> Sound | None:
    if isinstance(value, str):
        return Sound(clip=value)
    if isinstance(value, bool):
        return Sound(enabled=value)
    return value
