"""LiveKit and its egress service over the wire, as far as recordings need them.

What it answers was read off a real LiveKit server with redis: the list names recordings whose
service was killed as well, and a room's participants name, by its recording's id, the service that
records it.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from livekit.protocol import egress, models, room

_PROTOBUF = "application/protobuf"
_STATUS = {"internal": 500, "unavailable": 503, "invalid_argument": 400}
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
        silent: whether orders are left without an answer, as long as LiveKit looks for a service.
    """

    orders: list[egress.RoomCompositeEgressRequest] = field(
        default_factory=list[egress.RoomCompositeEgressRequest]
    )
    infos: list[egress.EgressInfo] = field(default_factory=list[egress.EgressInfo])
    present: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    refusal: str | None = None
    silent: bool = False
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
        app.router.add_post(f"{prefix}.RoomService/ListParticipants", self._participants)
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

    async def _start(self, request: web.Request) -> web.Response:
        if self.silent:
            await asyncio.Event().wait()
        if self.refusal:
            return self._refused()
        order = egress.RoomCompositeEgressRequest.FromString(await request.read())
        self.orders.append(order)
        info = egress.EgressInfo(
            egress_id=f"EG_{len(self.orders)}",
            room_name=order.room_name,
            status=egress.EgressStatus.EGRESS_STARTING,
            updated_at=time.time_ns(),
            file_results=[egress.FileInfo(filename=order.file_outputs[0].filepath)],
        )
        self.infos.append(info)
        return web.Response(body=info.SerializeToString(), content_type=_PROTOBUF)

    async def _list(self, request: web.Request) -> web.Response:
        if self.refusal == "internal":
            return self._refused()
        wanted = egress.ListEgressRequest.FromString(await request.read())
        found = egress.ListEgressResponse(
            items=[info for info in self.infos if _is_wanted(info, wanted)]
        )
        return web.Response(body=found.SerializeToString(), content_type=_PROTOBUF)

    async def _participants(self, request: web.Request) -> web.Response:
        wanted = room.ListParticipantsRequest.FromString(await request.read())
        identities = sorted(self.present.get(wanted.room, set()))
        found = room.ListParticipantsResponse(
            participants=[models.ParticipantInfo(identity=identity) for identity in identities]
        )
        return web.Response(body=found.SerializeToString(), content_type=_PROTOBUF)

    def _refused(self) -> web.Response:
        code = self.refusal or ""
        return web.json_response({"code": code, "msg": "no"}, status=_STATUS[code])


def _is_wanted(info: egress.EgressInfo, wanted: egress.ListEgressRequest) -> bool:
    # As LiveKit has it: with an id, nothing else counts.
    if wanted.egress_id:
        return info.egress_id == wanted.egress_id
    over = info.status >= egress.EgressStatus.EGRESS_COMPLETE
    return info.room_name == wanted.room_name and not (wanted.active and over)
