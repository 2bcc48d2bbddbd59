"""Why a call ended: as its session says, and as its agent reports it."""

from enum import StrEnum


class EndReason(StrEnum):
    """Why a session ended: who or what ended the call, or the outcome's own cause."""

    AGENT_ENDED = "agent_ended"
    CALLER_LEFT = "caller_left"
    END_REQUESTED = "end_requested"
    MAX_DURATION = "max_duration"
    SILENCE = "silence"
    TRANSFERRED = "transferred"
    ROOM_DELETED = "room_deleted"
    OPERATOR = "operator"
    CANCELLED = "cancelled"
    NO_CAPACITY = "no_capacity"
    AGENT_NEVER_JOINED = "agent_never_joined"
    AGENT_FAILED = "agent_failed"
    AGENT_LOST = "agent_lost"
    CALLER_NEVER_JOINED = "caller_never_joined"
    ROOM_NAME_TAKEN = "room_name_taken"
    FAILED = "failed"


class ReportEnd(StrEnum):
    """Why the agent's part of the call ended, according to the agent.

    Every value that does not abandon the call is also an `EndReason`.
    """

    AGENT_ENDED = "agent_ended"
    CALLER_LEFT = "caller_left"
    END_REQUESTED = "end_requested"
    MAX_DURATION = "max_duration"
    SILENCE = "silence"
    TRANSFERRED = "transferred"
    ROOM_DELETED = "room_deleted"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    UNKNOWN = "unknown"

    def abandons_the_call(self) -> bool:
        """Whether the agent left before the conversation was over: it is lost, not finished."""
        return self in (ReportEnd.SHUTDOWN, ReportEnd.ERROR, ReportEnd.UNKNOWN)

    def end_reason(self) -> EndReason:
        """The session's end reason when this report ends it."""
        return EndReason.AGENT_ENDED if self.abandons_the_call() else EndReason(self.value)
