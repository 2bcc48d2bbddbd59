"""Anam: starts an avatar's session, and tells what it was given."""

from aiohttp import web

from tests.fakes.providers.provider import FakeProvider, bearer


class Anam(FakeProvider):
    """The engine's API."""

    def routes(self) -> list[web.RouteDef]:
        """The one that the plugin asks."""
        return [web.post("/v1/engine/session", self._session)]

    def key_of(self, request: web.Request) -> str:
        """A bearer token."""
        return bearer(request)

    async def _session(self, request: web.Request) -> web.Response:
        await self.note(request, await request.json())
        return web.json_response({"sessionId": "anam_1"})
