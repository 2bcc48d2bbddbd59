"""Events of a call other than turns: tool calls, hand-offs and errors."""

from datetime import datetime

from pydantic import ConfigDict, Field

from domain.json_model import JsonModel


class ToolCall(JsonModel):
    """One tool call of the agent. Never log the arguments: they may hold the caller's data."""

    model_config = ConfigDict(extra="allow")

    call_id: str = Field(max_length=300)
    name: str = Field(max_length=300, examples=["end_call"])
    arguments: str = Field(default="{}", max_length=64_000)
    """The JSON that the model wrote."""
    started_at: datetime | None = None
    seconds: float | None = Field(default=None, ge=0)
    """Until the result; None if the call ended first."""
    ok: bool | None = None
    """Whether it succeeded; None without a result."""


class HandOff(JsonModel):
    """A hand-off from one agent of the configuration to another."""

    model_config = ConfigDict(extra="allow")

    at: datetime | None = None
    from_agent: str | None = Field(default=None, max_length=300)
    to_agent: str = Field(max_length=300)


class AgentError(JsonModel):
    """An error of a provider, without its message, which may quote the conversation."""

    model_config = ConfigDict(extra="allow")

    at: datetime | None = None
    stage: str = Field(max_length=100, examples=["llm_error"])
    """The SDK's kind: `stt_error`, `llm_error`, `tts_error`, `realtime_model_error` …"""
    kind: str = Field(max_length=200, examples=["APITimeoutError"])
    source: str | None = Field(default=None, max_length=300)
    """The plugin that raised it."""
    recoverable: bool | None = None
    """Whether the call continued."""
