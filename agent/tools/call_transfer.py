"""`transfer_call`: transfers a phone caller to another number."""

import asyncio
from typing import Any

import aiohttp
import structlog
from livekit import api, rtc
from livekit.agents import RunContext, llm
from livekit.protocol.sip import SIPTransferStatus, TransferSIPParticipantRequest

from agent.tools.inputs import ToolInputs, arguments, function_tool
from domain.agents.tool_config import TransferDestination
from domain.sessions.end_reasons import ReportEnd

log = structlog.stdlib.get_logger(__name__)

TRANSFER_SECONDS = 60.0
"""How long the destination may ring."""
LEAVE_SECONDS = 4.0
"""How long after LiveKit's answer the caller may leave; LiveKit tells some leaves 3 s late."""
ANSWER_SECONDS = 1.0
"""How long after the caller's leave LiveKit may answer; the session ends soon after a leave."""
POLL_SECONDS = 0.1
_NO_REFUSAL = (408, 481, 487)
"""SIP status codes of a time-out, of a call that has ended, and of one that was cancelled."""


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

    LiveKit's answer may come late, or not say how the transfer ended, although the caller is
    connected to the destination. So unless LiveKit says that it was refused, a caller who leaves
    during the transfer was transferred.

    Raises:
        llm.ToolError: it did not work.
    """
    answer = asyncio.create_task(_ask_for_transfer(inputs, caller, destination))
    leave = asyncio.create_task(_leave(inputs.room, caller))
    try:
        await asyncio.wait((answer, leave), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await asyncio.wait((answer,), timeout=ANSWER_SECONDS)
        elif answer.result() is None:
            await asyncio.wait((leave,), timeout=LEAVE_SECONDS)
        transferred = answer.result() if answer.done() else None
        left = _has_left(inputs.room, caller)
    finally:
        answer.cancel()
        leave.cancel()
    if transferred or (left and transferred is None):
        return
    where = "they have left the call" if left else "the caller is still with you"
    raise llm.ToolError(f"the transfer to {destination.name} did not work; {where}")


async def _leave(room: rtc.Room, caller: rtc.RemoteParticipant) -> None:
    """Wait until the caller's connection ends. While the agent has none, nothing is known."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if _has_left(room, caller):
            return


def _has_left(room: rtc.Room, caller: rtc.RemoteParticipant) -> bool:
    found = room.remote_participants.get(caller.identity)
    return room.isconnected() and (found is None or found.sid != caller.sid)


async def _ask_for_transfer(
    inputs: ToolInputs, caller: rtc.RemoteParticipant, destination: TransferDestination
) -> bool | None:
    """Whether LiveKit has transferred the caller; None if that is not known."""
    to = destination.to if ":" in destination.to else f"tel:{destination.to}"
    request = TransferSIPParticipantRequest(
        room_name=inputs.room.name,
        participant_identity=caller.identity,
        transfer_to=to,
        play_dialtone=bool(inputs.config.transfer and inputs.config.transfer.play_dialtone),
    )
    try:
        async with asyncio.timeout(TRANSFER_SECONDS):
            answer = await inputs.livekit().sip.transfer_sip_participant(request)
    except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
        code = error.code if isinstance(error, api.ServerError) else type(error).__name__
        sip_status = error.sip_status_code if isinstance(error, api.SipCallError) else None
    else:
        if answer.status == SIPTransferStatus.STS_TRANSFER_SUCCESSFUL:
            return True
        code, sip_status = str(answer.reason), int(answer.sip_status.code)
    log.warning(
        "transfer_not_confirmed", destination=destination.name, code=code, sip_status=sip_status
    )
    return False if _refuses(sip_status or 0) else None


def _refuses(sip_status: int) -> bool:
    """Whether this is a refusal: no time-out, no fault of a server, no call that is over."""
    refusal = 400 <= sip_status < 500 or sip_status >= 600
    return refusal and sip_status not in _NO_REFUSAL
