"""LiveKit's SIP service over the wire (Twirp): takes transfers, and answers as it is told."""

from dataclasses import dataclass, field
from typing import Literal, Self

from aiohttp import web
from livekit.protocol.sip import (
    SIPTransferStatus,
    TransferSIPParticipantRequest,
    TransferSIPParticipantResponse,
)


@dataclass
class SipService:
    """Listens on a loopback port of its own while it is entered."""

    how: Literal["succeeds", "fails", "refuses"] = "succeeds"
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
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _transfer(self, request: web.Request) -> web.Response:
        self.transfers.append(TransferSIPParticipantRequest.FromString(await request.read()))
        if self.how == "refuses":
            problem = {"code": "unavailable", "msg": "no trunk takes a transfer"}
            return web.json_response(problem, status=503)
        status = SIPTransferStatus.STS_TRANSFER_SUCCESSFUL
        if self.how == "fails":
            status = SIPTransferStatus.STS_TRANSFER_FAILED
        answer = TransferSIPParticipantResponse(status=status)
        return web.Response(body=answer.SerializeToString(), content_type="application/protobuf")
