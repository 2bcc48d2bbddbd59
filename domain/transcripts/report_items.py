"""What happened in a call beside what was said: tool calls, hand-offs and errors."""

from datetime import datetime

from pydantic import ConfigDict, Field

from domain.json_model import JsonModel


class ToolCall(JsonModel):
    """One call of a tool by the agent. Its arguments may hold the caller's data: never logged."""

    model_config = ConfigDict(extra="allow")

    call_id: str = Field(max_length=300)
    name: str = Field(max_length=300, examples=["end_call"])
    arguments: str = Field(default="{}", max_length=64_000)
    """JSON as the model wrote it."""
    started_at: datetime | None = None
    seconds: float | None = Field(default=None, ge=0)
    """Until its result; None if the call ended before."""
    ok: bool | None = None
    """Whether it succeeded; None without a result."""


class HandOff(JsonModel):
    """The conversation went from one agent of the configuration to another."""

    model_config = ConfigDict(extra="allow")

    at: datetime | None = None
    from_agent: str | None = Field(default=None, max_length=300)
    to_agent: str = Field(max_length=300)


class AgentError(JsonModel):
    """An error of a provider. Without its message, which may quote the conversation."""

    model_config = ConfigDict(extra="allow")

    at: datetime | None = None
    stage: str = Field(max_length=100, examples=["llm_error"])
    """The SDK's kind: `stt_error`, `llm_error`, `tts_error`, `realtime_model_error` …"""
    kind: str = Field(max_length=200, examples=["APITimeoutError"])
    source: str | None = Field(default=None, max_length=300)
    """Which plugin it came from."""
    recoverable: bool | None = None
    """Whether the call went on."""
