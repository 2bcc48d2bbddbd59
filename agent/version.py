"""The version that an agent names in its claims, reports and heartbeats."""

from importlib.metadata import version


def agent_version() -> str:
    """Versions of Everline and the agents SDK, such as `everline 0.1.0 (livekit-agents 1.8.9)`."""
    return f"everline {version('everline')} (livekit-agents {version('livekit-agents')})"
