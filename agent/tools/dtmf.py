"""`send_dtmf`: press keys of the phone, for instance in the menu of another phone system."""

import asyncio
from typing import Any

from livekit.agents import llm
from livekit.rtc.participant import PublishDTMFError

from agent.tools.inputs import ToolInputs, arguments, function_tool

_CODES = {digit: code for code, digit in enumerate("0123456789*#ABCD")}
"""RFC 4733's event codes."""
MAX_KEYS = 32
_PAUSE = 0.25
"""Seconds between two keys: phone systems merge faster ones."""
_LONG_PAUSE = 1.0
"""Seconds that a `w` waits."""


def send_dtmf(inputs: ToolInputs) -> llm.Tool:
    """Sends tones into the room; LiveKit's SIP bridge plays them on the phone line."""
    room = inputs.room

    async def press(raw_arguments: dict[str, Any]) -> str:
        keys = [key for key in str(raw_arguments.get("digits", "")).upper() if not key.isspace()]
        wrong = sorted({key for key in keys if key not in _CODES and key != "W"})
        if not keys or wrong or len(keys) > MAX_KEYS:
            raise llm.ToolError(f"digits must be 1 to {MAX_KEYS} of 0-9, *, #, A-D and w")
        try:
            for key in keys:
                if key != "W":
                    async with asyncio.timeout(5):
                        await room.local_participant.publish_dtmf(code=_CODES[key], digit=key)
                await asyncio.sleep(_LONG_PAUSE if key == "W" else _PAUSE)
        except (PublishDTMFError, TimeoutError) as error:
            raise llm.ToolError("the keys could not be sent on this call") from error
        return f"Pressed {''.join(keys)}."

    keys = {"type": "string", "description": "keys in order: 0-9, *, #, A-D; w waits a second"}
    return function_tool(
        press,
        "send_dtmf",
        "Presses keys on the phone keypad. Use it when a phone menu asks for a number,"
        " never to dial the caller's own words.",
        arguments({"digits": keys}, ["digits"]),
    )
