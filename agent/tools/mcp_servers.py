"""Tools of customers' MCP servers, by the SDK's client over a transport that checks addresses.

A connection is renewed when its server no longer knows the session.
"""
# The SDK leaves the types of MCP's streams and of its tools open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import asyncio
from contextvars import ContextVar
from typing import Any, Self

import httpx2
import structlog
from livekit.agents import llm
from livekit.agents.llm.mcp import (
    MCPServerHTTP,
    MCPTool,
    MCPToolResultContext,
    MCPToolset,
)
from mcp import MCPError
from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT

from adapters.http.outbound import ForbiddenAddress
from adapters.http.outbound_mcp import mcp_http_client
from agent.callbacks import tls_context
from agent.tools.inputs import ToolInputs, function_name
from agent.tools.web import ALLOW_PRIVATE, ToolFailure, tool_request
from domain.agents.tool_config import McpServer
from domain.agents.variables import fill

log = structlog.stdlib.get_logger(__name__)

MOST_START_SECONDS = 5.0
"""How long the start of a call, or a tool that found the connection lost, waits for a server."""
CLOSE_SECONDS = 2.0
MAX_ANSWER_CHARS = 16_384

_statuses: ContextVar[list[int] | None] = ContextVar("statuses", default=None)
"""The HTTP statuses of one tool call's requests: the transport's tasks run in its context."""


def mcp_toolsets(inputs: ToolInputs, taken: set[str]) -> list[llm.Toolset]:
    """A toolset for each server; `taken` are the names of tools that exist already."""
    connections = [McpConnection(server, inputs, taken) for server in inputs.config.mcp_servers]
    return [BoundedMcpToolset(connection) for connection in connections]


class BoundedMcpToolset(MCPToolset):
    """The tools of one server; none if it is unreachable, which never delays or ends a call."""

    def __init__(self, connection: "McpConnection") -> None:
        super().__init__(id=f"mcp_{connection.label}", mcp_server=connection)
        self._connection = connection

    async def setup(self, *, reload: bool = False) -> Self:
        """Connect and ask for the tools; an unreachable server is logged."""
        server = self._connection.label
        try:
            async with asyncio.timeout(self._connection.start_seconds):
                await super().setup(reload=reload)
        except Exception as error:  # noqa: BLE001  # whatever its server does, the call goes on
            log.warning("mcp_server_away", server=server, **_cause(error))
        else:
            log.info("mcp_server_connected", server=server, tools=len(self.tools))
        return self

    async def aclose(self) -> None:
        """Close the connection, within `CLOSE_SECONDS`."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().aclose()
        except Exception as error:  # noqa: BLE001  # what broke the connection earlier comes up here
            server = self._connection.label
            log.info("mcp_server_not_closed", server=server, **_cause(error))


class McpConnection(MCPServerHTTP):
    """One server; each failure of its tools becomes a message for the model."""

    def __init__(self, server: McpServer, inputs: ToolInputs, taken: set[str]) -> None:
        variables = inputs.variables
        super().__init__(
            fill(server.url, variables)[0],
            "streamable_http",
            headers={name: fill(text, variables)[0] for name, text in server.headers.items()},
            client_session_timeout_seconds=server.timeout,
            tool_result_resolver=_text_of,
        )
        self.label = server.name or server.url.partition("://")[2].partition("/")[0]
        self.start_seconds = min(server.timeout, MOST_START_SECONDS)
        self._server = server
        self._taken = taken
        self._allow_private = inputs.settings.everline_allow_private_tool_urls
        self._connecting = asyncio.Lock()
        self._times_connected = 0

    def _create_http_client(self, *_: Any, **__: Any) -> httpx2.AsyncClient:
        """A client that checks addresses. The SDK's method is private; a test guards it."""
        client = mcp_http_client(
            verify=tls_context(),
            allow_private=self._allow_private,
            headers=self.headers,
            timeout=self._server.timeout,
        )
        client.event_hooks = {"response": [_keep_status]}
        return client

    async def list_tools(self, **options: Any) -> list[MCPTool]:
        """The tools that the configuration allows."""
        tools = await super().list_tools(**options)
        allowed = self._server.allowed_tools
        return [
            self._bounded(tool) for tool in tools if allowed is None or tool.info.name in allowed
        ]

    def _bounded(self, tool: MCPTool) -> MCPTool:
        """The tool with a time limit, a message for each failure, and a unique name."""
        name = self._free_name(tool.info.name)

        async def call(raw_arguments: dict[str, Any]) -> Any:
            async with tool_request(name, self._server.timeout, server=self.label) as line:
                try:
                    answer = await self._call(tool, raw_arguments)
                except MCPError as error:
                    raise self._failure(name, error) from error
                line["outcome"] = "answered"
                return answer

        return llm.function_tool(call, raw_schema={**tool.info.raw_schema, "name": name})

    def _free_name(self, known: str) -> str:
        """A name that model providers accept and no other tool has."""
        name = function_name(known)
        if name in self._taken:
            name = function_name(f"{self.label}_{name}")
        self._taken.add(name)
        return name

    async def _call(self, tool: MCPTool, arguments: dict[str, Any]) -> Any:
        """The tool's answer; it is called again only if the server has not accepted the call.

        Raises:
            livekit.agents.llm.ToolError: the server does not accept a new connection.
            mcp.MCPError: the server's error, or the client's.
        """
        if not self.initialized:
            await self._connect_again(self._times_connected)
        connection = self._times_connected
        statuses: list[int] = []
        _statuses.set(statuses)
        try:
            return await tool(raw_arguments=arguments)
        except MCPError as error:
            if not _forgotten(error, statuses):
                raise
        # The server has restarted since, and does not know the connection.
        await self._connect_again(connection)
        return await tool(raw_arguments=arguments)

    async def _connect_again(self, lost: int) -> None:
        """Replace the connection with this number, unless another call has done so or tried to.

        Raises:
            ToolFailure: the server does not accept a new one.
        """
        async with self._connecting:
            if lost != self._times_connected:
                if not self.initialized:
                    raise self._unreachable()
                return
            self._times_connected += 1
            try:
                async with asyncio.timeout(self.start_seconds):
                    await self._drop()
                    await self.initialize()
            except Exception as error:
                log.warning("mcp_server_away", server=self.label, **_cause(error))
                raise self._unreachable() from error
        log.info("mcp_server_connected_again", server=self.label)

    async def _drop(self) -> None:
        # `aclose` would ask a lost server to end the session, and raise what broke the connection.
        task = self._client_task
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("mcp_connection_lost", server=self.label, **_cause(error))

    def _failure(self, name: str, error: MCPError) -> Exception:
        """What an error means for the model. Some servers use the client's own codes for others."""
        if error.code == REQUEST_TIMEOUT:
            return TimeoutError()
        if error.code == CONNECTION_CLOSED:
            # It is unknown whether the server has accepted the call.
            return self._unreachable()
        return ToolFailure(f"{name} failed: {_cut(error.message)}", f"error {error.code}")

    def _unreachable(self) -> ToolFailure:
        return ToolFailure(f"{self.label} could not be reached", "unreachable")


async def _keep_status(response: httpx2.Response) -> None:
    if (statuses := _statuses.get()) is not None:
        statuses.append(response.status_code)


def _forgotten(error: MCPError, statuses: list[int]) -> bool:
    """Whether the server refused the call because it does not know the session.

    The protocol requires a 404; several servers answer 400 with an explanation instead.
    """
    said = error.message.lower()
    return 404 in statuses or (400 in statuses and ("session" in said or "initialized" in said))


def _text_of(answer: MCPToolResultContext) -> str:
    texts = (getattr(part, "text", None) for part in answer.result.content)
    return _cut("\n".join(one for one in texts if isinstance(one, str))) or "Done."


def _cut(text: str) -> str:
    if len(text) > MAX_ANSWER_CHARS:
        return f"{text[:MAX_ANSWER_CHARS]} … [cut after {MAX_ANSWER_CHARS} characters]"
    return text


def _cause(error: BaseException) -> dict[str, str]:
    """The innermost error's type, without its message, which may hold headers or answers."""
    group: Any = error
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    cause = {"error": type(group).__name__}
    if isinstance(group, ForbiddenAddress):
        cause["cure"] = group.cure_with(ALLOW_PRIVATE)
    return cause
