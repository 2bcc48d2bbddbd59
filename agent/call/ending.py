"""Why the agent's part of the call ended: the first noted cause wins.

LiveKit's own close reason is racy (a shutdown reports whatever closed the session first), so each
cause is noted where it happens; a job that ends without one was shut down from outside.
"""

from livekit import rtc

from domain.transcripts.transcript import ReportEnd

_BY_DISCONNECT = {
    rtc.DisconnectReason.ROOM_DELETED: (ReportEnd.ROOM_DELETED, None),
    rtc.DisconnectReason.ROOM_CLOSED: (ReportEnd.ROOM_DELETED, None),
    rtc.DisconnectReason.PARTICIPANT_REMOVED: (
        ReportEnd.UNKNOWN,
        "the agent was removed from the room",
    ),
    rtc.DisconnectReason.DUPLICATE_IDENTITY: (
        ReportEnd.UNKNOWN,
        "another participant took the agent's identity",
    ),
}


class Ending:
    """The end of the agent's part, once it is decided."""

    def __init__(self) -> None:
        self._reason: ReportEnd | None = None
        self.error: str | None = None

    @property
    def decided(self) -> bool:
        """Whether a cause is known already."""
        return self._reason is not None

    @property
    def reason(self) -> ReportEnd:
        """The cause; a job that ends without one was shut down by its agent server."""
        return self._reason or ReportEnd.SHUTDOWN

    def note(self, reason: ReportEnd, error: str | None = None) -> bool:
        """Note a cause; returns whether it is the first one, which counts."""
        if self.decided:
            return False
        self._reason = reason
        self.error = error
        return True

    def note_disconnect(self, reason: rtc.DisconnectReason.ValueType) -> bool:
        """Note that LiveKit closed the agent's connection."""
        if reason == rtc.DisconnectReason.CLIENT_INITIATED:
            return False
        name = rtc.DisconnectReason.Name(reason)
        lost = (ReportEnd.ERROR, f"the connection to the room was lost ({name})")
        return self.note(*_BY_DISCONNECT.get(reason, lost))


def requested_end(reason: str) -> ReportEnd:
    """The end that a `FinishCall` asks for; a reason that no report can have is a plain request."""
    try:
        return ReportEnd(reason)
    except ValueError:
        return ReportEnd.END_REQUESTED
