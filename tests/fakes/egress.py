"""LiveKit and its egress service over the wire, as far as recordings need them.

What it answers was read off a real LiveKit server with redis: the list names recordings whose
service was killed as well, and a room's participants name, by its recording's id, the service that
records it.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from livekit.protocol import egress, models, room

from tests.fakes.skewed_server import formatted_date

_PROTOBUF = "application/protobuf"
_STATUS = {"internal": 500, "unavailable": 503, "invalid_argument": 400, "not_found": 404}
"""HTTP's of each of Twirp's codes that LiveKit answered here."""


@dataclass
class Egress:
    """Listens on a loopback port of its own while it is entered.

    Attributes:
        orders: the recordings that were begun.
        infos: what LiveKit keeps of each, in the same order.
        present: identities in the rooms, by room.
        refusal: Twirp's code of every answer while it is set: `internal` from a LiveKit without
            redis, `invalid_argument` from a service that does not take an order.
        ahead: seconds by which LiveKit's clock is ahead of this machine's.
        silent: whether orders are left without an answer, as long as LiveKit looks for a service.
    """

    orders: list[egress.RoomCompositeEgressRequest] = field(
        default_factory=list[egress.RoomCompositeEgressRequest]
    )
    infos: list[egress.EgressInfo] = field(default_factory=list[egress.EgressInfo])
    present: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    refusal: str | None = None
    silent: bool = False
    ahead: float = 0.0
    livekit: str = ""
    """URL of a real LiveKit server, which gets all that is not about recordings."""
    asked: int = 0
    """How many orders came, answered or not."""
    _runner: web.AppRunner | None = None
    _port: int = 0

    @property
    def url(self) -> str:
        """LiveKit's URL."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        prefix = "/twirp/livekit"
        app.router.add_post(f"{prefix}.Egress/StartRoomCompositeEgress", self._start)
        app.router.add_post(f"{prefix}.Egress/ListEgress", self._list)
        if self.livekit:
            app.router.add_route("*", "/{path:.*}", self._pass_on)
        else:
            app.router.add_post(f"{prefix}.RoomService/ListParticipants", self._participants)
        app.on_response_prepare.append(self._tell_time)
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def joins(self, info: egress.EgressInfo) -> None:
        """The service is in the room and records."""
        info.status = egress.EgressStatus.EGRESS_ACTIVE
        self.present.setdefault(info.room_name, set()).add(info.egress_id)

    def dies(self, info: egress.EgressInfo) -> None:
        """The service is killed: it leaves the room, and tells nobody."""
        self.present[info.room_name].discard(info.egress_id)

    async def _tell_time(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatted_date(time.time() + self.ahead)

    async def _start(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.refusal:
            return _refused(self.refusal)
        order = egress.RoomCompositeEgressRequest.FromString(await request.read())
        self.orders.append(order)
        info = egress.EgressInfo(
            egress_id=f"EG_{len(self.orders)}",
            room_name=order.room_name,
            status=egress.EgressStatus.EGRESS_STARTING,
            updated_at=time.time_ns() + round(self.ahead * 1e9),
            file_results=[egress.FileInfo(filename=order.file_outputs[0].filepath)],
        )
        self.infos.append(info)
        return web.Response(body=info.SerializeToString(), content_type=_PROTOBUF)

    async def _list(self, request: web.Request) -> web.Response:
        if self.refusal == "internal":
            return _refused(self.refusal)
        wanted = egress.ListEgressRequest.FromString(await request.read())
        items = [info for info in self.infos if _is_wanted(info, wanted)]
        if wanted.egress_id and not items:
            return _refused("not_found")
        found = egress.ListEgressResponse(items=items)
        return web.Response(body=found.SerializeToString(), content_type=_PROTOBUF)

    async def _participants(self, request: web.Request) -> web.Response:
        wanted = room.ListParticipantsRequest.FromString(await request.read())
        identities = sorted(self.present.get(wanted.room, set()))
        found = room.ListParticipantsResponse(
            participants=[models.ParticipantInfo(identity=identity) for identity in identities]
        )
        return web.Response(body=found.SerializeToString(), content_type=_PROTOBUF)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        url = f"{self.livekit}{request.raw_path}"
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in ("authorization", "content-type")
        }
        async with ClientSession(headers=headers) as client:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                near = web.WebSocketResponse()
                async with client.ws_connect(url, max_msg_size=0) as far:
                    await near.prepare(request)
                    await _join(near, far)
                return near
            body = await request.read()
            async with client.request(request.method, url, data=body) as answer:
                kind = answer.headers.get("Content-Type", "text/plain").partition(";")[0]
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=kind
                )


Socket = web.WebSocketResponse | ClientWebSocketResponse


async def _join(near: Socket, far: Socket) -> None:
    """Carry messages both ways until one side closes."""

    async def carry(source: Socket, target: Socket) -> None:
        async for message in source:
            if message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type is WSMsgType.TEXT:
                await target.send_str(message.data)
        await target.close()

    ways = [asyncio.create_task(carry(*pair)) for pair in ((near, far), (far, near))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


def _refused(code: str) -> web.Response:
    return web.json_response({"code": code, "msg": "no"}, status=_STATUS[code])


def _is_wanted(info: egress.EgressInfo, wanted: egress.ListEgressRequest) -> bool:
    # As LiveKit has it: with an id, nothing else counts.
    if wanted.egress_id:
        return info.egress_id == wanted.egress_id
    over = info.status >= egress.EgressStatus.EGRESS_COMPLETE
    return info.room_name == wanted.room_name and not (wanted.active and over)
