"""The version that an agent names in its claims, reports and heartbeats."""

from importlib.metadata import PackageNotFoundError, version


def agent_version() -> str:
    """Version of Everline and of the agents SDK, for instance `everline 0.1.0 (livekit 1.8.9)`."""
    return f"everline {_version('everline')} (livekit-agents {_version('livekit-agents')})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
