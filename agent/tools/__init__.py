"""Tools: what an agent can do in a call beside talking, built from its configuration."""

from agent.tools.inputs import ToolInputs
from agent.tools.registry import BUILT_IN, AnyTool, agent_tools

__all__ = ["BUILT_IN", "AnyTool", "ToolInputs", "agent_tools"]
