"""A real MCP server over streamable HTTP, with a few tools of a shop."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass
class Shop:
    """The server, and what it saw."""

    url: str
    authorizations: set[str] = field(default_factory=set[str])
    """Of all requests."""
    orders: list[str] = field(default_factory=list[str])
    """The arguments of the calls, in order."""
    forgets: asyncio.Barrier | None = None
    """As many calls as this has parties come before all are told that the server knows nothing of
    their session; a new one it refuses."""
    _server: uvicorn.Server | None = None
    _running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen where `url` says; the server knows nothing of sessions before."""
        app = _remembering(_tools(self).streamable_http_app(), self)
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1)
        )
        listener = socket.create_server(("127.0.0.1", int(self.url.split(":")[2].split("/")[0])))
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Listen no more; calls that are not answered after a second are cut."""
        server, running = self._server, self._running
        if server is not None and running is not None:
            server.should_exit = True
            await running
        self._server = self._running = None


@asynccontextmanager
async def mcp_shop() -> AsyncGenerator[Shop]:
    """The server, listening for the block on a loopback port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shop = Shop(url=f"http://127.0.0.1:{port}/mcp")
    await shop.start()
    try:
        yield shop
    finally:
        await shop.stop()


def _tools(shop: Shop) -> MCPServer:
    server = MCPServer("shop")

    @server.tool(name="order.status", description="Status of an order.")
    async def status(number: str) -> str:
        shop.orders.append(number)
        if number == "broken":
            raise ToolError("no such order")
        if number == "slow":
            await asyncio.sleep(60)
        return f"Order {number} is on its way."

    @server.tool(name="delete_everything", description="Deletes the shop.")
    async def delete() -> str:
        return "gone"

    @server.tool(name="current_time", description="The shop's time.")
    async def time() -> str:
        return "noon"

    # Registered by their decorators.
    del status, delete, time
    return server


def _remembering(app: ASGIApp, shop: Shop) -> ASGIApp:
    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            shop.authorizations.add(headers.get("authorization", ""))
            if shop.forgets is not None and scope["method"] == "POST":
                known = "mcp-session-id" in headers
                if known:
                    await shop.forgets.wait()
                await Response(status_code=404 if known else 503)(scope, receive, send)
                return
        await app(scope, receive, send)

    return remember
