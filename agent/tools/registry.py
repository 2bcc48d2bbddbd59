"""The built-in tools by the ids that a configuration names, and all tools of a configuration.

`domain/agents/catalogs/tools.json` describes the same ids to whoever writes a configuration.
"""

from collections.abc import Callable, Iterator, Mapping

import structlog
from livekit.agents import llm
from livekit.agents.beta.tools import EndCallTool

from agent.tools.call_transfer import transfer_call
from agent.tools.clock import current_time
from agent.tools.dtmf import send_dtmf
from agent.tools.hand_off import hand_off_tools
from agent.tools.http_calls import http_tool
from agent.tools.inputs import ToolInputs
from agent.tools.knowledge import search_knowledge_base
from agent.tools.lyzr_actions import lyzr_tools
from agent.tools.mcp_servers import mcp_toolsets
from domain.sessions.end_reasons import ReportEnd

log = structlog.stdlib.get_logger(__name__)

AnyTool = llm.Tool | llm.Toolset


def _end_call(inputs: ToolInputs) -> llm.Toolset:
    """The SDK's tool: the model says goodbye, then the session closes."""

    async def called(_: llm.Toolset.ToolCalledEvent) -> None:
        inputs.ending.note(ReportEnd.AGENT_ENDED)

    # The session workflow deletes the room.
    return EndCallTool(delete_room=False, on_tool_called=called)


BUILT_IN: Mapping[str, Callable[[ToolInputs], AnyTool]] = {
    "current_time": current_time,
    "end_call": _end_call,
    "search_knowledge_base": search_knowledge_base,
    "send_dtmf": send_dtmf,
    "transfer_call": transfer_call,
}


def agent_tools(inputs: ToolInputs) -> list[AnyTool]:
    """All tools of a configuration; of several with the same name the first is kept."""
    tools: dict[str, AnyTool] = {}
    for name, tool in _named(inputs):
        if name in tools:
            log.warning("tool_name_taken", tool=name)
        tools.setdefault(name, tool)
    # Their tools are known once they are connected.
    return [*tools.values(), *mcp_toolsets(inputs, set(tools))]


def _named(inputs: ToolInputs) -> Iterator[tuple[str, AnyTool]]:
    config = inputs.config
    unknown = sorted(set(config.tools) - set(BUILT_IN))
    if unknown:
        log.warning("tools_unknown", tools=unknown, known=sorted(BUILT_IN))
    for name in config.tools:
        if name in BUILT_IN:
            yield name, BUILT_IN[name](inputs)
    for definition in config.http_tools:
        yield definition.name, http_tool(definition, inputs.web, inputs.variables)
    for made in (*lyzr_tools(inputs), *hand_off_tools(inputs)):
        yield made.info.name, made
