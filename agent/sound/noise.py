"""Noise cancellation on what the caller says."""
# The SDK declares `enabled` as an abstract property:
# pyright: reportIncompatibleMethodOverride=false

from importlib import import_module
from typing import Any, cast

import structlog
from livekit import rtc

from agent.engines.parts import Notice
from domain.agents.config import DispatchedConfig
from domain.agents.sound_config import LOCAL_NOISE_CANCELLATION, noise_cancellation_type

log = structlog.stdlib.get_logger(__name__)

_CLOUD_PLUGIN = "livekit.plugins.noise_cancellation"
_CLOUD_FILTERS = {"nc": "NC", "krisp": "NC", "bvc": "BVC", "bvc_telephony": "BVCTelephony"}

AudioFilter = rtc.FrameProcessor[rtc.AudioFrame] | rtc.NoiseCancellationOptions


class NoiseSuppressor(rtc.FrameProcessor[rtc.AudioFrame]):
    """WebRTC's own noise suppression, in this process: needs no account and no download."""

    enabled: bool = True

    def __init__(self) -> None:
        self._module = rtc.AudioProcessingModule(noise_suppression=True, high_pass_filter=True)

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        # The module takes 10 ms at a time; a shorter rest stays as it is.
        rate, channels, step = frame.sample_rate, frame.num_channels, frame.sample_rate // 100
        size = 2 * channels * step
        sound = bytearray(frame.data)
        for start in range(0, len(sound) - size + 1, size):
            part = rtc.AudioFrame(sound[start : start + size], rate, channels, step)
            self._module.process_stream(part)
            sound[start : start + size] = bytes(part.data)
        return rtc.AudioFrame(sound, rate, channels, frame.samples_per_channel)

    def _close(self) -> None:
        self.enabled = False


def noise_cancellation(config: DispatchedConfig) -> tuple[AudioFilter | None, list[Notice]]:
    """The filter of the configured type, or the local one if that is not installed.

    Call this on the main thread: it imports LiveKit Cloud's plugin if that is configured.
    """
    wanted = config.noise_cancellation
    if wanted is None or not wanted.enabled:
        return None, []
    kind = noise_cancellation_type(wanted.type)
    if kind == LOCAL_NOISE_CANCELLATION:
        return NoiseSuppressor(), []
    problem = f"there is no type {wanted.type!r:.100}"
    if kind is not None:
        try:
            plugin: Any = import_module(_CLOUD_PLUGIN)
            return cast(AudioFilter, getattr(plugin, _CLOUD_FILTERS[kind])()), []
        except ImportError:
            problem = (
                f"{kind!r} needs livekit-plugins-noise-cancellation, which is not installed here"
            )
    reason = f"{problem}; {LOCAL_NOISE_CANCELLATION!r} is used"
    return NoiseSuppressor(), [Notice("noise_cancellation.type", reason)]
