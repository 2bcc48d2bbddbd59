"""The inputs of tools, and what builds a tool from a function."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from livekit import api, rtc
from livekit.agents import Agent, llm

from adapters.settings import AgentSettings
from agent.call.end_cause import EndCause
from domain.sessions.dispatch_metadata import DispatchMetadata

HandOff = Callable[[str], Awaitable[Agent]]
"""Loads the saved agent of this id and makes it ready to take over.

Raises `agent.tools.hand_off.CannotHandOff` with the reason.
"""


@dataclass(frozen=True)
class ToolInputs:
    """What a tool may use.

    Attributes:
        ending: where a tool that ends the call notes the reason.
        livekit: returns LiveKit's server API.
        web: for customers' URLs; it refuses addresses that are not public.
        hand_off: None for an agent without callbacks, which cannot load another.
    """

    config: DispatchMetadata
    settings: AgentSettings
    ending: EndCause
    room: rtc.Room
    livekit: Callable[[], api.LiveKitAPI]
    web: httpx.AsyncClient
    hand_off: HandOff | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The dynamic variables with their defaults."""
        return {**self.config.dynamic_variable_defaults, **self.config.dynamic_variables}

    @property
    def lyzr_headers(self) -> dict[str, str]:
        """What authenticates requests to Lyzr."""
        return {"x-api-key": self.config.apiKey} if self.config.apiKey else {}


def function_name(name: str) -> str:
    """A name as model providers accept it for a function."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "action"


def function_tool(
    call: Callable[..., Awaitable[Any]], name: str, description: str, parameters: dict[str, Any]
) -> llm.RawFunctionTool[..., Any]:
    """A tool for the model; `parameters` is the JSON Schema of its arguments."""
    schema = {"name": name, "description": description, "parameters": parameters}
    return llm.function_tool(call, raw_schema=schema)


def arguments(properties: Mapping[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments."""
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    return {**schema, "required": list(required)} if required else schema
