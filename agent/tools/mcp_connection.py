"""The connection to a customer's MCP server: renewed when the server has forgotten it."""
# The SDK leaves the types of MCP's streams and of its tools open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpx2
import structlog
from livekit.agents import llm
from livekit.agents.llm.mcp import MCPServer, MCPTool, MCPToolOptions, MCPToolResultContext
from mcp import MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, REQUEST_TIMEOUT

from adapters.http.outbound_mcp import mcp_http_client
from agent.callbacks import tls_context
from agent.tools.inputs import ToolInputs
from domain.agents.tool_config import McpServer
from domain.agents.variables import fill

log = structlog.stdlib.get_logger(__name__)

MOST_START_SECONDS = 5.0
"""How long the start of a call, or a tool that found the connection lost, waits for a server."""
CLOSE_SECONDS = 2.0
MAX_ANSWER_CHARS = 16_384

_statuses: ContextVar[list[int] | None] = ContextVar("statuses", default=None)
"""The HTTP statuses of one tool call's requests: the transport's tasks run in its context."""


class McpConnection(MCPServer):
    """One server; its tools tell every failure in a sentence."""

    def __init__(self, server: McpServer, inputs: ToolInputs) -> None:
        super().__init__(
            client_session_timeout_seconds=server.timeout, tool_result_resolver=_text_of
        )
        self.label = server.name or server.url.partition("://")[2].partition("/")[0]
        self.start_seconds = min(server.timeout, MOST_START_SECONDS)
        self._server = server
        self._allow_private = inputs.settings.everline_allow_private_tool_urls
        variables = inputs.variables
        self._url = fill(server.url, variables)[0]
        self._headers = {name: fill(text, variables)[0] for name, text in server.headers.items()}
        self._connecting = asyncio.Lock()
        self._times_connected = 0

    @asynccontextmanager
    async def client_streams(self) -> AsyncGenerator[Any]:
        """The transport's streams, for as long as the connection is open."""
        async with (
            mcp_http_client(
                verify=tls_context(),
                allow_private=self._allow_private,
                headers=self._headers,
                timeout=self._server.timeout,
            ) as http,
            streamable_http_client(self._url, http_client=http) as streams,
        ):
            http.event_hooks = {"response": [_keep_status]}
            yield streams

    async def list_tools(
        self, *, tool_options: dict[str, MCPToolOptions] | None = None
    ) -> list[MCPTool]:
        """The tools that the configuration allows."""
        tools = await super().list_tools(tool_options=tool_options)
        allowed = self._server.allowed_tools
        return [
            self._bounded(tool) for tool in tools if allowed is None or tool.info.name in allowed
        ]

    def _bounded(self, tool: MCPTool) -> MCPTool:
        """The tool, with a time limit and a sentence for each failure."""

        async def call(raw_arguments: dict[str, Any]) -> Any:
            # Report the name that the model knows.
            return await self._answer(tool, offered.info.name, raw_arguments)

        offered: MCPTool = llm.function_tool(call, raw_schema=tool.info.raw_schema)
        return offered

    async def _answer(self, tool: MCPTool, name: str, arguments: dict[str, Any]) -> Any:
        begun = time.monotonic()
        seconds = self._server.timeout
        outcome = "cancelled"
        try:
            async with asyncio.timeout(seconds):
                answer = await self._call(tool, arguments)
                outcome = "answered"
                return answer
        except TimeoutError as error:
            outcome = "timeout"
            raise llm.ToolError(f"{name} did not answer within {seconds:g} seconds") from error
        except _Unreachable as error:
            outcome = "unreachable"
            raise llm.ToolError(f"{self.label} could not be reached") from error
        except MCPError as error:
            outcome = f"error {error.code}"
            raise llm.ToolError(f"{name} failed: {_cut(error.message)}") from error
        except llm.ToolError:
            outcome = "tool error"
            raise
        finally:
            took = round(time.monotonic() - begun, 3)
            log.info("tool_request", server=self.label, tool=name, outcome=outcome, seconds=took)

    async def _call(self, tool: MCPTool, arguments: dict[str, Any]) -> Any:
        """The tool's answer; it is called again only if the server has not accepted the call.

        Raises:
            TimeoutError: there was no answer in time.
            _Unreachable: it is unknown whether the server has accepted the call.
            mcp.MCPError: the server's error.
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
                raise _told(error) from error
        # The server has restarted since, and does not know the connection.
        await self._connect_again(connection)
        try:
            return await tool(raw_arguments=arguments)
        except MCPError as error:
            raise _told(error) from error

    async def _connect_again(self, lost: int) -> None:
        """Replace the connection with this number, unless another call has done so or tried to.

        Raises:
            _Unreachable: the server does not accept a new one.
        """
        async with self._connecting:
            if lost != self._times_connected:
                if not self.initialized:
                    raise _Unreachable
                return
            self._times_connected += 1
            try:
                async with asyncio.timeout(self.start_seconds):
                    await self._drop()
                    await self.initialize()
            except Exception as error:
                log.warning("mcp_server_away", server=self.label, error=cause(error))
                raise _Unreachable from error
        log.info("mcp_server_connected_again", server=self.label)

    async def _drop(self) -> None:
        # `aclose` would ask a lost server to end the session, and raise what broke the connection.
        task = self._client_task
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("mcp_connection_lost", server=self.label, error=cause(error))


class _Unreachable(Exception):
    """The server cannot be reached, or was lost in the middle of a call."""


async def _keep_status(response: httpx2.Response) -> None:
    statuses = _statuses.get()
    if statuses is not None:
        statuses.append(response.status_code)


def _forgotten(error: MCPError, statuses: list[int]) -> bool:
    """Whether the server refused the call because it does not know the session.

    The protocol requires a 404; several servers answer 400 with an explanation instead.
    """
    said = error.message.lower()
    return 404 in statuses or (400 in statuses and ("session" in said or "initialized" in said))


def _told(error: MCPError) -> Exception:
    """An error of the client itself as its own type; the server's errors stay as they are.

    Some servers use the same codes with other meanings; the call has failed in any case.
    """
    if error.code == REQUEST_TIMEOUT:
        return TimeoutError()
    return _Unreachable() if error.code == CONNECTION_CLOSED else error


def _text_of(answer: MCPToolResultContext) -> str:
    texts = (getattr(part, "text", None) for part in answer.result.content)
    return _cut("\n".join(one for one in texts if isinstance(one, str))) or "Done."


def _cut(text: str) -> str:
    if len(text) > MAX_ANSWER_CHARS:
        return f"{text[:MAX_ANSWER_CHARS]} … [cut after {MAX_ANSWER_CHARS} characters]"
    return text


def cause(error: BaseException) -> str:
    """The innermost error's type, without its message, which may hold headers or answers."""
    group: Any = error
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return type(group).__name__
