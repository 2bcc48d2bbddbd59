"""Whether the sounds and filters that a configuration names exist."""

from collections.abc import Iterator

from domain.agent_config import AgentConfig, ConfigWarning
from domain.sound_config import (
    CLIPS,
    LOCAL_NOISE_CANCELLATION,
    NOISE_CANCELLATION,
    clip_name,
    noise_cancellation_type,
)


def sound_warnings(config: AgentConfig) -> Iterator[ConfigWarning]:
    """What will sound otherwise than it seems, because there is no such clip or filter."""
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
