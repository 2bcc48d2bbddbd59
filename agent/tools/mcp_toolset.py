"""Tools of customers' MCP servers, by the SDK's client over a transport that checks addresses."""
# The SDK leaves the types of MCP's streams and of its tools open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import asyncio
from typing import Any, Self

import structlog
from livekit.agents import llm
from livekit.agents.llm.mcp import MCPToolset

from agent.tools.inputs import ToolInputs
from agent.tools.lyzr_actions import function_name
from agent.tools.mcp_connection import CLOSE_SECONDS, McpConnection, cause

log = structlog.stdlib.get_logger(__name__)


def mcp_toolsets(inputs: ToolInputs, taken: set[str]) -> list[llm.Toolset]:
    """A toolset for each server; `taken` are the names of tools that exist already."""
    connections = [McpConnection(server, inputs) for server in inputs.config.mcp_servers]
    return [BoundedMcpToolset(connection, taken) for connection in connections]


class BoundedMcpToolset(MCPToolset):
    """The tools of one server; none if it is unreachable, which never delays or ends a call."""

    def __init__(self, connection: McpConnection, taken: set[str]) -> None:
        self.label = connection.label
        super().__init__(id=f"mcp_{self.label}", mcp_server=connection)
        self._start_seconds = connection.start_seconds
        self._taken = taken

    async def setup(self, *, reload: bool = False) -> Self:
        """Connect and ask for the tools; an unreachable server is logged."""
        try:
            async with asyncio.timeout(self._start_seconds):
                await super().setup(reload=reload)
        except Exception as error:  # noqa: BLE001  # whatever its server does, the call goes on
            log.warning("mcp_server_away", server=self.label, error=cause(error))
            return self
        for tool in self.tools:
            if isinstance(tool, llm.RawFunctionTool):
                self._give_name(tool)
        log.info("mcp_server_connected", server=self.label, tools=len(self.tools))
        return self

    async def aclose(self) -> None:
        """Close the connection, within `CLOSE_SECONDS`."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().aclose()
        except Exception as error:  # noqa: BLE001  # what broke the connection earlier comes up here
            log.info("mcp_server_not_closed", server=self.label, error=cause(error))

    def _give_name(self, tool: llm.RawFunctionTool[..., Any]) -> None:
        """Give the tool a name that model providers accept and no other tool has."""
        name = function_name(tool.info.name)
        if name in self._taken:
            name = function_name(f"{self.label}_{name}")
        self._taken.add(name)
        tool.info.name = name
        tool.info.raw_schema["name"] = name
