"""LiveKit's room service over the wire (Twirp): lists one room, and refuses to delete it."""

from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from livekit.protocol.models import Room
from livekit.protocol.room import DeleteRoomResponse, ListRoomsResponse


@dataclass
class RoomService:
    """Listens on a loopback port of its own while it is entered.

    Attributes:
        room: the name of the room that is listed until it is deleted.
        refusals: status, code and message of the next answers to a deletion; then it succeeds.
        requests: the methods that were called, in order.
    """

    room: str
    refusals: list[tuple[int, str, str]]
    requests: list[str] = field(default_factory=list[str])
    port: int = 0
    _deleted: bool = False
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL of the server API."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/twirp/livekit.RoomService/{method}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.requests.append(method)
        listed = [] if self._deleted else [Room(name=self.room)]
        answers = {
            "ListRooms": ListRoomsResponse(rooms=listed),
            "CreateRoom": Room(name=self.room),
            "DeleteRoom": DeleteRoomResponse(),
        }
        if method == "DeleteRoom":
            if self.refusals:
                status, code, message = self.refusals.pop(0)
                return web.json_response({"code": code, "msg": message}, status=status)
            self._deleted = True
        body = answers[method].SerializeToString()
        return web.Response(body=body, content_type="application/protobuf")
