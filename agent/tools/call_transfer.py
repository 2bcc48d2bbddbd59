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
    to = destination.to if ":" in destination.to else f"tel:{destination.to}"
    request = TransferSIPParticipantRequest(
        room_name=inputs.room.name,
        participant_identity=caller.identity,
        transfer_to=to,
        play_dialtone=bool(inputs.config.transfer and inputs.config.transfer.play_dialtone),
    )
    code: object = None
    try:
        async with asyncio.timeout(TRANSFER_SECONDS):
            answer = await inputs.livekit().sip.transfer_sip_participant(request)
        if answer.status == SIPTransferStatus.STS_TRANSFER_FAILED:
            code = answer.reason
    except (api.TwirpError, aiohttp.ClientError, TimeoutError) as error:
        code = error.code if isinstance(error, api.TwirpError) else type(error).__name__
    if code is not None:
        log.warning("transfer_failed", destination=destination.name, code=code)
        raise llm.ToolError(
            f"the transfer to {destination.name} did not work; the caller is still with you"
        )
