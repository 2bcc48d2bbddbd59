"""The current state of recordings: pending ones fail when no agent server has them."""

from collections.abc import Sequence
from datetime import datetime

from domain.agents.ports import AgentServers
from domain.recordings.recording import HEARD_WITHIN, CallRecording, RecordingState, as_of
from domain.transcripts.transcript import TranscriptHeader


async def recordings_now(
    recordings: Sequence[CallRecording], servers: AgentServers, now: datetime
) -> list[CallRecording]:
    """Recordings with their current state: a pending one that no agent server has is failed.

    This is derived on read and never stored: an agent server that restarts on the same disk still
    uploads them.

    Raises:
        Unavailable: the agent servers cannot be listed now.
    """
    if all(one.state is not RecordingState.PENDING for one in recordings):
        return list(recordings)
    heard = await servers.seen_since(now - HEARD_WITHIN)
    spools = {server.spool for server in heard if server.spool}
    return [as_of(one, now, spools) for one in recordings]


async def header_now(
    header: TranscriptHeader | None, servers: AgentServers, now: datetime
) -> TranscriptHeader | None:
    """A transcript's header with the current state of its recordings.

    Raises:
        Unavailable: the agent servers cannot be listed now.
    """
    if header is None:
        return None
    recordings = await recordings_now(header.recordings, servers, now)
    return header.model_copy(update={"recordings": recordings})
