"""`current_time`: date and time in a time zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livekit.agents import llm

from agent.tools.inputs import ToolInputs, arguments, function_tool


def current_time(inputs: ToolInputs) -> llm.Tool:
    """Answers in the requested time zone, else the configuration's, else UTC."""
    default = inputs.config.time_zone or "UTC"

    async def tell(raw_arguments: dict[str, Any]) -> str:
        name = str(raw_arguments.get("time_zone") or default)
        try:
            # Names are looked up as files: ZoneInfo refuses those that leave its folder.
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise llm.ToolError(
                f"there is no time zone {name[:64]!r}; use an IANA name like Europe/Vienna"
            ) from None
        now = datetime.now(zone)
        return f"{now:%A, %d %B %Y, %H:%M} ({name}, {now.isoformat(timespec='seconds')})"

    example = {"type": "string", "description": "IANA time zone, for instance America/New_York"}
    description = f"Tells the current date and time. Without time_zone: in {default}."
    return function_tool(tell, "current_time", description, arguments({"time_zone": example}))
