"""The built-in tools that a configuration can name in `tools`."""

from collections.abc import Callable, Mapping

import structlog
from livekit.agents import llm
from livekit.agents.beta.tools import EndCallTool

from agent.ending import Ending
from domain.transcript import ReportEnd

log = structlog.stdlib.get_logger(__name__)


def _end_call(ending: Ending) -> llm.Toolset:
    async def note(_: llm.Toolset.ToolCalledEvent) -> None:
        ending.note(ReportEnd.AGENT_ENDED)

    # The room is Everline's to delete.
    return EndCallTool(delete_room=False, on_tool_called=note)


BUILT_IN: Mapping[str, Callable[[Ending], llm.Toolset]] = {"end_call": _end_call}


def tools(names: list[str], ending: Ending) -> list[llm.Tool | llm.Toolset]:
    """The named tools; a name that this agent worker does not have is logged and left out."""
    unknown = sorted(set(names) - set(BUILT_IN))
    if unknown:
        log.warning("tools_unknown", tools=unknown, known=sorted(BUILT_IN))
    return [BUILT_IN[name](ending) for name in dict.fromkeys(names) if name in BUILT_IN]
