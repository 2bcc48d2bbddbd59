"""`transfer_call`: transfers a phone caller to another number."""

import asyncio
import time
from enum import Enum
from typing import Any

import aiohttp
import structlog
from google.protobuf.duration_pb2 import Duration
from livekit import api, rtc
from livekit.agents import RunContext, llm
from livekit.protocol.sip import (
    SIPTransferReason,
    SIPTransferStatus,
    TransferSIPParticipantRequest,
)

from agent.tools.inputs import ToolInputs, arguments, function_tool
from domain.agents.tool_config import TransferDestination
from domain.sessions.end_reasons import ReportEnd

log = structlog.stdlib.get_logger(__name__)

RING_SECONDS = 30
"""How long the destination may ring; LiveKit's default."""
ANSWER_SECONDS = RING_SECONDS + 5.0
"""How long LiveKit may take to answer."""
LEAVE_SECONDS = 4.0
"""How long before or after LiveKit's answer a transferred caller leaves: livekit-sip hangs up one
second after the answer, and LiveKit reports some leaves 3 s late."""
POLL_SECONDS = 0.1
_NO_REFUSAL = (408, 481, 487)
"""SIP status codes of a time-out, of a call that has ended, and of one that was cancelled."""
_REFUSED = {
    SIPTransferReason.Name(reason)
    for reason in (
        SIPTransferReason.STR_REJECTED,
        SIPTransferReason.STR_RINGING_TIMEOUT,
        SIPTransferReason.STR_CALL_ENDED,
    )
}
"""Why a transfer failed for certain. Others leave it open whether the caller was transferred."""


class _Answer(Enum):
    """What LiveKit says of a transfer."""

    TRANSFERRED = "transferred"
    ACCEPTED = "accepted"
    """As LiveKit 1.13 answers a transfer that worked; the caller leaves soon."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """A time-out or a fault of LiveKit's, although the caller may have been transferred."""


def transfer_call(inputs: ToolInputs) -> llm.Tool:
    """A cold transfer by SIP REFER; only a caller on a phone line can be transferred."""
    transfer = inputs.config.transfer
    destinations = {one.name: one for one in transfer.destinations} if transfer else {}

    async def hand_on(raw_arguments: dict[str, Any], ctx: RunContext[Any]) -> str | None:
        if not destinations:
            raise llm.ToolError("this call cannot be transferred: no destination is configured")
        destination = destinations.get(str(raw_arguments.get("destination")))
        if destination is None:
            raise llm.ToolError(f"destination must be one of: {', '.join(destinations)}")
        caller = _caller_on_the_phone(inputs)
        if caller is None:
            raise llm.ToolError(
                "the caller is not on a phone line, so the call cannot be transferred;"
                " tell them so, and how else they can reach the destination"
            )
        # What the agent said before it called the tool.
        await ctx.wait_for_playout()
        await _refer(inputs, caller, destination)
        inputs.ending.note(ReportEnd.TRANSFERRED)
        log.info("call_transferred", destination=destination.name)
        ctx.session.shutdown(drain=False)
        return None

    known = "; ".join(
        f"{one.name}: {one.description}" if one.description else one.name
        for one in destinations.values()
    )
    choice = {"type": "string", **({"enum": list(destinations)} if destinations else {})}
    return function_tool(
        hand_on,
        "transfer_call",
        "Transfers the caller to somebody else and ends your part of the call. Say that you"
        f" are transferring before you call it. Destinations: {known or 'none'}.",
        arguments({"destination": choice}, ["destination"]),
    )


def _caller_on_the_phone(inputs: ToolInputs) -> rtc.RemoteParticipant | None:
    on_the_phone = {
        one.identity: one
        for one in inputs.room.remote_participants.values()
        if one.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    }
    everline = inputs.config.everline
    known = on_the_phone.get((everline and everline.caller_identity) or "")
    return known or next(iter(on_the_phone.values()), None)


async def _refer(
    inputs: ToolInputs, caller: rtc.RemoteParticipant, destination: TransferDestination
) -> None:
    """Transfer the caller.

    A caller who leaves before LiveKit has answered may have hung up, which looks like the end of a
    transfer, so only the answer tells. If LiveKit does not know, the caller was transferred if they
    left about when it answered, and as a transfer ends.

    Raises:
        llm.ToolError: it did not work, as far as is known.
    """
    leave = asyncio.create_task(_leave(inputs.room, caller))
    try:
        answer = await _ask_for_transfer(inputs, caller, destination)
        answered_at = time.monotonic()
        if answer in (_Answer.ACCEPTED, _Answer.UNKNOWN):
            await asyncio.wait((leave,), timeout=LEAVE_SECONDS)
        left_at = leave.result() if leave.done() else None
    finally:
        leave.cancel()
    if answer is _Answer.TRANSFERRED:
        return
    where = "the caller is still with you"
    if left_at is not None:
        soon = answered_at - left_at <= LEAVE_SECONDS
        as_transferred = answer is _Answer.UNKNOWN and soon and _left_as_transferred(caller)
        if answer is _Answer.ACCEPTED or as_transferred:
            return
        where = "they have left the call"
    raise llm.ToolError(f"the transfer to {destination.name} did not work; {where}")


async def _leave(room: rtc.Room, caller: rtc.RemoteParticipant) -> float:
    """Wait until the caller leaves, and return when. Without a connection, nothing is known.

    After a restart of LiveKit the caller is in the room again, as another participant.
    """
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if room.isconnected() and caller.identity not in room.remote_participants:
            return time.monotonic()


def _left_as_transferred(caller: rtc.RemoteParticipant) -> bool:
    """Whether the caller's line was hung up: a transfer ends so, a lost connection does not."""
    status = caller.attributes.get("sip.callStatus", "hangup")
    return status == "hangup" and caller.disconnect_reason == rtc.DisconnectReason.CLIENT_INITIATED


async def _ask_for_transfer(
    inputs: ToolInputs, caller: rtc.RemoteParticipant, destination: TransferDestination
) -> _Answer:
    to = destination.to if ":" in destination.to else f"tel:{destination.to}"
    request = TransferSIPParticipantRequest(
        room_name=inputs.room.name,
        participant_identity=caller.identity,
        transfer_to=to,
        play_dialtone=bool(inputs.config.transfer and inputs.config.transfer.play_dialtone),
        ringing_timeout=Duration(seconds=RING_SECONDS),
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await inputs.livekit().sip.transfer_sip_participant(request)
    except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
        code = error.code if isinstance(error, api.ServerError) else type(error).__name__
        sip = error if isinstance(error, api.SipCallError) else None
        sip_status = sip and sip.sip_status_code
        reason = sip and sip.sip_transfer_reason
    else:
        if answer.status == SIPTransferStatus.STS_TRANSFER_SUCCESSFUL:
            return _Answer.TRANSFERRED
        if answer.status == SIPTransferStatus.STS_TRANSFER_ONGOING:
            return _Answer.ACCEPTED
        code, sip_status = "failed", int(answer.sip_status.code)
        reason = SIPTransferReason.Name(answer.reason)
    log.warning(
        "transfer_not_confirmed",
        destination=destination.name,
        code=code,
        sip_status=sip_status,
        reason=reason,
    )
    refused = reason in _REFUSED or _refuses(sip_status or 0)
    return _Answer.REFUSED if refused else _Answer.UNKNOWN


def _refuses(sip_status: int) -> bool:
    """Whether this is a refusal: no time-out, no fault of a server, no call that is over."""
    refusal = 400 <= sip_status < 500 or sip_status >= 600
    return refusal and sip_status not in _NO_REFUSAL
