"""Tools of customers' MCP servers, by the SDK's client over a transport that checks addresses."""
# The SDK leaves the types of MCP's streams and of its tools open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import structlog
from livekit.agents import llm
from livekit.agents.llm.mcp import (
    MCPServer,
    MCPTool,
    MCPToolOptions,
    MCPToolResultContext,
    MCPToolset,
)
from mcp.client.streamable_http import streamable_http_client

from adapters.outbound_mcp import mcp_http_client
from agent.callbacks import tls_context
from agent.tools.inputs import ToolInputs
from agent.tools.lyzr_actions import function_name
from domain.tool_config import McpServer
from domain.variables import fill

log = structlog.stdlib.get_logger(__name__)

MOST_START_SECONDS = 5.0
"""How long the start of a call waits for a server."""
CLOSE_SECONDS = 2.0
MAX_ANSWER_CHARS = 16_384


def mcp_toolsets(inputs: ToolInputs, taken: set[str]) -> list[llm.Toolset]:
    """A toolset for each server; `taken` are the names of tools that exist already."""
    return [
        BoundedMcpToolset(server, _Connection(server, inputs), taken)
        for server in inputs.config.mcp_servers
    ]


class BoundedMcpToolset(MCPToolset):
    """The tools of one server; none if it is away, which never holds up or ends a call."""

    def __init__(self, server: McpServer, connection: "_Connection", taken: set[str]) -> None:
        self.label = server.name or server.url.partition("://")[2].partition("/")[0]
        super().__init__(id=f"mcp_{self.label}", mcp_server=connection)
        self._start_seconds = min(server.timeout, MOST_START_SECONDS)
        self._taken = taken

    async def setup(self, *, reload: bool = False) -> Self:
        """Connect and ask for the tools; an unreachable server is logged."""
        try:
            async with asyncio.timeout(self._start_seconds):
                await super().setup(reload=reload)
        except Exception as error:  # noqa: BLE001  # whatever its server does, the call goes on
            log.warning("mcp_server_away", server=self.label, error=_cause(error))
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
            log.info("mcp_server_not_closed", server=self.label, error=_cause(error))

    def _give_name(self, tool: llm.RawFunctionTool[..., Any]) -> None:
        """A name that providers of models take, and that no other tool has."""
        name = function_name(tool.info.name)
        if name in self._taken:
            name = function_name(f"{self.label}_{name}")
        self._taken.add(name)
        tool.info.name = name
        tool.info.raw_schema["name"] = name


class _Connection(MCPServer):
    def __init__(self, server: McpServer, inputs: ToolInputs) -> None:
        super().__init__(
            client_session_timeout_seconds=server.timeout, tool_result_resolver=_text_of
        )
        self._server = server
        self._allow_private = inputs.settings.everline_allow_private_tool_urls
        variables = inputs.variables
        self._url = fill(server.url, variables)[0]
        self._headers = {name: fill(text, variables)[0] for name, text in server.headers.items()}

    def client_streams(self) -> AbstractAsyncContextManager[Any]:
        return self._connected()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Any]:
        async with (
            mcp_http_client(
                verify=tls_context(),
                allow_private=self._allow_private,
                headers=self._headers,
                timeout=self._server.timeout,
            ) as http,
            streamable_http_client(self._url, http_client=http) as streams,
        ):
            yield streams

    async def list_tools(
        self, *, tool_options: dict[str, MCPToolOptions] | None = None
    ) -> list[MCPTool]:
        tools = await super().list_tools(tool_options=tool_options)
        allowed = self._server.allowed_tools
        return [tool for tool in tools if allowed is None or tool.info.name in allowed]


def _text_of(answer: MCPToolResultContext) -> str:
    texts = [getattr(part, "text", None) for part in answer.result.content]
    text = "\n".join(one for one in texts if isinstance(one, str))
    if len(text) > MAX_ANSWER_CHARS:
        return f"{text[:MAX_ANSWER_CHARS]} … [cut after {MAX_ANSWER_CHARS} characters]"
    return text or "Done."


def _cause(error: BaseException) -> str:
    """The innermost error's type: what it says may hold headers or answers."""
    group: Any = error
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return type(group).__name__
