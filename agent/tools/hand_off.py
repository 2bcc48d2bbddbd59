"""Hand-off: another saved agent takes over the conversation with its history."""

import re
from collections.abc import Iterator
from itertools import chain, count
from typing import Any

import structlog
from livekit.agents import Agent, llm

from agent.tools.inputs import HandOff, ToolInputs, arguments, function_tool
from domain.agents.tool_config import ManagedAgent

log = structlog.stdlib.get_logger(__name__)


class CannotHandOff(Exception):
    """The other agent cannot take over; the reason is for the log, never for the caller."""


def hand_off_tools(inputs: ToolInputs) -> Iterator[llm.RawFunctionTool[..., Any]]:
    """A tool `hand_off_to_…` for each managed agent."""
    managed = inputs.config.managed_agents or []
    if inputs.hand_off is None:
        if managed:
            log.warning("managed_agents_need_everline", agents=[one.name for one in managed])
        return
    taken: set[str] = set()
    for one in managed:
        plain = re.sub(r"[^a-z0-9]+", "_", one.name.lower()).strip("_")
        name = f"hand_off_to_{plain or 'agent'}"[:60]
        numbered = (f"{name}_{number}" for number in count(2))
        free = next(each for each in chain([name], numbered) if each not in taken)
        taken.add(free)
        yield _hand_off(free, one, inputs.hand_off)


def _hand_off(name: str, managed: ManagedAgent, hand_off: HandOff) -> llm.RawFunctionTool[..., Any]:
    async def take_over(raw_arguments: dict[str, Any]) -> Agent:
        try:
            agent = await hand_off(managed.id)
        except CannotHandOff as error:
            log.warning("hand_off_failed", agent_id=managed.id, why=str(error))
            raise llm.ToolError(
                f"{managed.name} cannot take over now; tell the caller, and help them yourself"
            ) from error
        log.info("handed_off", agent_id=managed.id)
        return agent

    usage = f"Hands the conversation to {managed.name}. Use it for: {managed.usage_description}"
    return function_tool(take_over, name, usage, arguments({}))
