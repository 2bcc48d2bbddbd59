"""LiveKit's server API, also if its clock differs from this machine's."""

import time
from typing import Self

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from livekit import api

from adapters.http.clocks import unix_time
from adapters.livekit.tokens import backdating
from adapters.livekit.urls import api_url
from domain.clocks import correction


class LiveKitConnection(api.LiveKitAPI):
    """As LiveKit's client, but a LiveKit whose clock is behind accepts its tokens.

    It sends each request once: two dispatches would start two agents, and two transfers call the
    destination twice. Make it in the running event loop.
    """

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._ahead: float | None = None
        self._connections = aiohttp.ClientSession(
            middlewares=(backdating(api_secret), self._note_time)
        )
        super().__init__(
            api_url(url), api_key, api_secret, session=self._connections, failover=False
        )

    async def __aenter__(self) -> Self:
        return self

    def now(self) -> float:
        """Unix time by LiveKit's clock, as of its last answer."""
        return time.time() + correction(self._ahead)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _note_time(
        self, request: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        response = await handler(request)
        sent = unix_time(response.headers.get("Date", ""))
        self._ahead = None if sent is None else sent - time.time()
        return response
