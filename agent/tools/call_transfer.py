"""`transfer_call`: hand a caller on the phone to somebody else's number."""

import asyncio
from typing import Any

import aiohttp
import structlog
from livekit import api, rtc
from livekit.agents import RunContext, llm
from livekit.protocol.sip import SIPTransferStatus, TransferSIPParticipantRequest

from agent.tools.inputs import ToolInputs, function_tool
from domain.agents.tool_config import TransferDestination
from domain.transcripts.transcript import ReportEnd

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
    choice = {"type": "string", "enum": list(destinations)} if destinations else {"type": "string"}
    return function_tool(
        hand_on,
        "transfer_call",
        "Transfers the caller to somebody else and ends your part of the call. Say that you"
        f" are transferring before you call it. Destinations: {known or 'none'}.",
        {"destination": choice},
        ["destination"],
    )


def _caller_on_the_phone(inputs: ToolInputs) -> rtc.RemoteParticipant | None:
    on_the_phone = [
        one
        for one in inputs.room.remote_participants.values()
        if one.kind == rtc.ParticipantKind.PARTICIPANT_KIND_SIP
    ]
    everline = inputs.config.everline
    known = everline.caller_identity if everline else None
    named = [one for one in on_the_phone if one.identity == known]
    return next(iter(named or on_the_phone), None)


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
    try:
        async with asyncio.timeout(TRANSFER_SECONDS):
            answer = await inputs.livekit().sip.transfer_sip_participant(request)
    except (api.TwirpError, aiohttp.ClientError, TimeoutError) as error:
        code = error.code if isinstance(error, api.TwirpError) else type(error).__name__
        log.warning("transfer_failed", destination=destination.name, code=code)
        raise _not_transferred(destination) from error
    if answer.status == SIPTransferStatus.STS_TRANSFER_FAILED:
        log.warning("transfer_failed", destination=destination.name, code=answer.reason)
        raise _not_transferred(destination)


def _not_transferred(destination: TransferDestination) -> llm.ToolError:
    return llm.ToolError(
        f"the transfer to {destination.name} did not work; the caller is still with you"
    )
