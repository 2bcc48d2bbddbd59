"""What is known of recordings now, by their last word and by who could still bring them."""

from collections.abc import Sequence
from datetime import datetime

from domain.agents.ports import AgentServers
from domain.recordings.recording import HEARD_WITHIN, CallRecording, RecordingState, as_of
from domain.transcripts.transcript import TranscriptHeader


async def recordings_now(
    recordings: Sequence[CallRecording], servers: AgentServers, now: datetime
) -> list[CallRecording]:
    """Recordings as they are to be read: those that nobody brings any more have failed.

    It is found when it is read, and never stored: an agent server that starts on their disk again
    brings them.

    Raises:
        Unavailable: nobody can say now which agent servers there are.
    """
    if all(one.state is not RecordingState.PENDING for one in recordings):
        return list(recordings)
    heard = await servers.seen_since(now - HEARD_WITHIN)
    spools = {server.spool for server in heard if server.spool}
    return [as_of(one, now, spools) for one in recordings]


async def header_now(
    header: TranscriptHeader | None, servers: AgentServers, now: datetime
) -> TranscriptHeader | None:
    """A transcript's header with its recordings as they are to be read.

    Raises:
        Unavailable: nobody can say now which agent servers there are.
    """
    if header is None:
        return None
    recordings = await recordings_now(header.recordings, servers, now)
    return header.model_copy(update={"recordings": recordings})
