"""`current_time`: date and time in a time zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livekit.agents import llm

from agent.tools.inputs import ToolInputs


def current_time(inputs: ToolInputs) -> llm.Tool:
    """Answers in the zone that is asked for, else the configuration's, else UTC."""
    default = inputs.config.time_zone or "UTC"

    async def tell(raw_arguments: dict[str, Any]) -> str:
        name = str(raw_arguments.get("time_zone") or default)
        try:
            # A name is looked up as a file: "zone" must not lead out of their folder.
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise llm.ToolError(
                f"there is no time zone {name[:64]!r}; use an IANA name like Europe/Vienna"
            ) from None
        now = datetime.now(zone)
        return f"{now:%A, %d %B %Y, %H:%M} ({name}, {now.isoformat(timespec='seconds')})"

    return llm.function_tool(
        tell,
        raw_schema={
            "name": "current_time",
            "description": f"Tells the current date and time. Without time_zone: in {default}.",
            "parameters": {
                "type": "object",
                "properties": {
                    "time_zone": {
                        "type": "string",
                        "description": "IANA time zone, for instance America/New_York",
                    }
                },
            },
        },
    )
