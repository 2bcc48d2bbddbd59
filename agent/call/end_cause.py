"""Why the agent's part of the call ended: the first noted cause wins.

LiveKit's own close reason is racy (a shutdown reports whatever closed the session first), so each
cause is noted where it happens; a job that ends without one was shut down from outside.
"""

import structlog
from livekit import rtc
from pydantic import ValidationError

from domain.json_model import FROM_ANOTHER_VERSION
from domain.sessions.control import CONTROL_TOPIC, FinishCall
from domain.sessions.end_reasons import ReportEnd

log = structlog.stdlib.get_logger(__name__)

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


class EndCause:
    """Why the agent's part of the call ended, once that is decided."""

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
        """Note a cause; returns whether it counts: the first one does.

        A transfer that is confirmed late says why the caller has left.
        """
        explained = (self._reason, reason) == (ReportEnd.CALLER_LEFT, ReportEnd.TRANSFERRED)
        if self.decided and not explained:
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


def finish_request(packet: rtc.DataPacket) -> FinishCall | None:
    """The server's request to finish, if the packet is one.

    A participant's packet has a sender; only LiveKit's server API sends without one.
    """
    if packet.topic != CONTROL_TOPIC:
        return None
    # The SDK declares the sender as never None.
    sender: rtc.RemoteParticipant | None = packet.participant
    if sender is not None:
        log.warning("control_message_of_a_participant_ignored", identity=sender.identity)
        return None
    try:
        return FinishCall.model_validate_json(packet.data, context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        log.error("control_message_unreadable", faults=error.error_count())
        return None
