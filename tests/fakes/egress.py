"""LiveKit's egress service over the wire, as far as recordings need it."""

from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from livekit.protocol import egress

_PROTOBUF = "application/protobuf"


@dataclass
class Egress:
    """Listens on a loopback port of its own while it is entered.

    Attributes:
        orders: the recordings that were begun.
        refusal: Twirp's code of every answer while it is set.
    """

    orders: list[egress.RoomCompositeEgressRequest] = field(
        default_factory=list[egress.RoomCompositeEgressRequest]
    )
    refusal: str | None = None
    _runner: web.AppRunner | None = None
    _port: int = 0

    @property
    def url(self) -> str:
        """LiveKit's URL."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        prefix = "/twirp/livekit.Egress"
        app.router.add_post(f"{prefix}/StartRoomCompositeEgress", self._start)
        app.router.add_post(f"{prefix}/ListEgress", self._list)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _start(self, request: web.Request) -> web.Response:
        if self.refusal:
            return web.json_response({"code": self.refusal, "msg": "no"}, status=500)
        order = egress.RoomCompositeEgressRequest.FromString(await request.read())
        self.orders.append(order)
        info = egress.EgressInfo(egress_id="EG_1", room_name=order.room_name)
        return web.Response(body=info.SerializeToString(), content_type=_PROTOBUF)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = egress.ListEgressRequest.FromString(await request.read())
        infos = [
            egress.EgressInfo(room_name=order.room_name)
            for order in self.orders
            if order.room_name == wanted.room_name
        ]
        found = egress.ListEgressResponse(items=infos)
        return web.Response(body=found.SerializeToString(), content_type=_PROTOBUF)
