"""`end_call`: the agent ends the call itself."""

from livekit.agents import llm
from livekit.agents.beta.tools import EndCallTool

from agent.tools.inputs import ToolInputs
from domain.transcripts.transcript import ReportEnd


def end_call(inputs: ToolInputs) -> llm.Toolset:
    """The SDK's tool: the model says goodbye, then the session is closed."""

    async def note(_: llm.Toolset.ToolCalledEvent) -> None:
        inputs.ending.note(ReportEnd.AGENT_ENDED)

    # The room is Everline's to delete.
    return EndCallTool(delete_room=False, on_tool_called=note)
