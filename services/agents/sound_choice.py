"""Whether the sounds, filters and avatars that a configuration names exist."""

from collections.abc import Iterator

from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.sound_config import (
    AVATAR_PROVIDERS,
    CLIPS,
    LOCAL_NOISE_CANCELLATION,
    NOISE_CANCELLATION,
    clip_name,
    noise_cancellation_type,
)
from domain.errors import InvalidInput


def check_avatar(config: AgentConfig) -> None:
    """Check that an enabled avatar names its provider and id; the agent worker has the key.

    Raises:
        InvalidInput: there is no such provider, or no avatar is named.
    """
    avatar = config.avatar
    if avatar is None or not avatar.enabled:
        return
    if avatar.provider is not None and avatar.provider not in AVATAR_PROVIDERS:
        raise InvalidInput(
            f"there is no avatar provider {avatar.provider!r:.100}",
            field="avatar.provider",
            cure=f"use one of: {', '.join(AVATAR_PROVIDERS)}",
        )
    if avatar.anam_avatar_id is None:
        raise InvalidInput(
            "no avatar is named",
            field="avatar.anam.avatarId",
            cure="name one of Anam's avatars, or set avatar.enabled to false",
        )


def sound_warnings(config: AgentConfig) -> Iterator[ConfigWarning]:
    """Clips and filters that do not exist, so the usual ones take their place."""
    if config.background_audio is not None:
        for place, sound in config.background_audio.sounds():
            if sound.clip is not None and clip_name(sound.clip) is None:
                yield ConfigWarning(
                    field=f"background_audio.{place}",
                    reason=f"there is no clip {sound.clip[:100]!r}; the usual one is played",
                    cure=f"use one of: {', '.join(CLIPS)}",
                )
    filtering = config.noise_cancellation
    if filtering is not None and noise_cancellation_type(filtering.type) is None:
        yield ConfigWarning(
            field="noise_cancellation.type",
            reason=f"there is no type {filtering.type!r:.99}; {LOCAL_NOISE_CANCELLATION!r} is used",
            cure=f"use one of: {', '.join(NOISE_CANCELLATION)}",
        )
