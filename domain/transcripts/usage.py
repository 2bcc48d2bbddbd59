"""What a call used of each model, as the agents report it, and how fast the agent answered."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from domain.json_model import is_number, writable_pairs


def _counted(value: object) -> object:
    """A counter that another SDK leaves empty must not cost the whole report."""
    return value if is_number(value) and value >= 0 else 0


def _name(value: object) -> str:
    return str(value)[:200] if value is not None else ""


Counter = Annotated[float, BeforeValidator(_counted)]
Name = Annotated[str, BeforeValidator(_name)]


class ModelUsage(BaseModel):
    """What one model was used for in one part of a call; counters of newer SDKs are kept.

    Tokens of a kind (audio, text, cached) are a part of `input_tokens` or `output_tokens`.
    """

    model_config = ConfigDict(extra="allow")

    type: Name = "unknown"
    """The SDK's kind: `llm_usage`, `stt_usage`, `tts_usage` …"""
    provider: Name = ""
    """As the plugin names it; for a compatible server, its host."""
    model: Name = ""
    input_tokens: Counter = 0
    input_cached_tokens: Counter = 0
    input_audio_tokens: Counter = 0
    input_cached_audio_tokens: Counter = 0
    input_text_tokens: Counter = 0
    input_cached_text_tokens: Counter = 0
    output_tokens: Counter = 0
    output_audio_tokens: Counter = 0
    output_text_tokens: Counter = 0
    characters_count: Counter = 0
    """Characters spoken (TTS)."""
    audio_duration: Counter = 0
    """Seconds of audio heard (STT) or spoken (TTS)."""
    session_duration: Counter = 0
    """Seconds of connection, for models billed by it."""
    total_requests: Counter = 0

    @model_validator(mode="before")
    @classmethod
    def _writable(cls, value: Any) -> Any:
        return writable_pairs(value)


def total_usage(usages: Iterable[ModelUsage]) -> list[ModelUsage]:
    """The sums over all attempts of a call, one entry per kind and model, in a stable order."""
    totals: dict[tuple[str, ...], ModelUsage] = {}
    for usage in usages:
        key = (usage.type, usage.provider, usage.model)
        total = totals.setdefault(
            key, ModelUsage(type=usage.type, provider=usage.provider, model=usage.model)
        )
        for name in ModelUsage.model_fields.keys() - {"type", "provider", "model"}:
            setattr(total, name, float(getattr(total, name) + getattr(usage, name)))
    return [totals[key] for key in sorted(totals)]


class StageLatency(BaseModel):
    """How long one stage took over the turns of a call, seconds."""

    count: int = Field(examples=[12])
    p50: float
    p95: float
    max: float


class CallLatency(BaseModel):
    """From the end of the caller's speech to the agent's first audio, by stage, seconds.

    A stage is left out if no turn measured it: a realtime model has `e2e` alone.
    """

    transcription: StageLatency | None = None
    """From the end of speech to its text."""
    end_of_turn: StageLatency | None = None
    """From the end of speech to the decision that the caller has finished."""
    llm: StageLatency | None = None
    """From the request to the model's first token."""
    tts: StageLatency | None = None
    """From the first text to its first audio."""
    e2e: StageLatency | None = None
    """From the end of speech to the agent's first audio."""


_STAGES = {
    "transcription": "transcription_delay",
    "end_of_turn": "end_of_turn_delay",
    "llm": "llm_node_ttft",
    "tts": "tts_node_ttfb",
    "e2e": "e2e_latency",
}
"""The SDK's names of the stages in an item's metrics."""
_MOST_SECONDS = 1e12
"""Greater ones, and infinity, are no latencies."""


def call_latency(metrics: Sequence[dict[str, Any]]) -> CallLatency | None:
    """The latencies over the metrics of a call's turns; None if none was measured."""
    stages = {
        stage: measured
        for stage, name in _STAGES.items()
        if (measured := _stage([found.get(name) for found in metrics]))
    }
    return CallLatency(**stages) if stages else None


def _stage(values: list[Any]) -> StageLatency | None:
    seconds = sorted(
        float(value) for value in values if is_number(value) and 0 <= value < _MOST_SECONDS
    )
    if not seconds:
        return None
    return StageLatency(
        count=len(seconds),
        p50=_percentile(seconds, 50),
        p95=_percentile(seconds, 95),
        max=round(seconds[-1], 4),
    )


def _percentile(ascending: list[float], percent: int) -> float:
    """The nearest-rank percentile, which is always a measured value."""
    rank = -(-len(ascending) * percent // 100)
    return round(ascending[max(rank, 1) - 1], 4)
