"""LiveKit's SIP service over the wire (Twirp): takes transfers, and answers as it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Self

from aiohttp import web
from livekit.protocol.sip import (
    SIPTransferReason,
    SIPTransferStatus,
    TransferSIPParticipantRequest,
    TransferSIPParticipantResponse,
)

How = Literal[
    "succeeds",
    "accepts",
    "fails",
    "refuses",
    "declines",
    "times out",
    "cancels",
    "ended",
    "is silent",
]
"""`accepts` is LiveKit 1.13's empty answer to a transfer that worked."""
_PROBLEMS = {
    "refuses": (503, {"code": "unavailable", "msg": "no trunk takes a transfer"}),
    "declines": (
        500,
        {"code": "aborted", "msg": "Decline", "meta": {"sip_status_code": "603"}},
    ),
    "times out": (408, {"code": "deadline_exceeded", "msg": "request timed out"}),
    "cancels": (408, {"code": "canceled", "msg": "context canceled"}),
}


@dataclass
class SipService:
    """Listens on a loopback port of its own while it is entered."""

    how: How = "succeeds"
    on_transfer: Callable[[], Awaitable[None]] | None = None
    """What happens to the caller's line before the answer."""
    transfers: list[TransferSIPParticipantRequest] = field(
        default_factory=list[TransferSIPParticipantRequest]
    )
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base URL of the server API."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/twirp/livekit.SIP/TransferSIPParticipant", self._transfer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _transfer(self, request: web.Request) -> web.Response:
        self.transfers.append(TransferSIPParticipantRequest.FromString(await request.read()))
        if self.on_transfer:
            await self.on_transfer()
        if self.how == "is silent":
            await asyncio.Event().wait()
        if self.how in _PROBLEMS:
            http_status, problem = _PROBLEMS[self.how]
            return web.json_response(problem, status=http_status)
        status = SIPTransferStatus.STS_TRANSFER_SUCCESSFUL
        if self.how == "accepts":
            status = SIPTransferStatus.STS_TRANSFER_ONGOING
        if self.how == "fails":
            status = SIPTransferStatus.STS_TRANSFER_FAILED
        reason = SIPTransferReason.STR_UNSPECIFIED
        if self.how == "ended":
            status = SIPTransferStatus.STS_TRANSFER_FAILED
            reason = SIPTransferReason.STR_CALL_ENDED
        answer = TransferSIPParticipantResponse(status=status, reason=reason)
        return web.Response(body=answer.SerializeToString(), content_type="application/protobuf")
