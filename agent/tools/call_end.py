"""`end_call`: lets the agent end the call."""

from livekit.agents import llm
from livekit.agents.beta.tools import EndCallTool

from agent.tools.inputs import ToolInputs
from domain.transcripts.transcript import ReportEnd


def end_call(inputs: ToolInputs) -> llm.Toolset:
    """The SDK's tool: the model says goodbye, then the session closes."""

    async def called(_: llm.Toolset.ToolCalledEvent) -> None:
        inputs.ending.note(ReportEnd.AGENT_ENDED)

    # The session workflow deletes the room.
    return EndCallTool(delete_room=False, on_tool_called=called)
