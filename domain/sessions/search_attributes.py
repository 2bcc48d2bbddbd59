"""What operators search sessions by in Temporal. It stays in clear: ids, states and times only."""

from enum import StrEnum


class SearchAttribute(StrEnum):
    """The search attributes of a session's workflow, by their names in Temporal."""

    STATE = "SessionState"
    ORG = "SessionOrg"
    AGENT = "SessionAgent"
    """The saved agent's id; for a session without one, the agent's name."""
    ROOM = "SessionRoom"
    """LiveKit's name of the room."""
    OUTCOME = "SessionOutcome"
    END_REASON = "SessionEndReason"
    WAITING_FOR = "SessionWaitingFor"
    WAITING_SINCE = "SessionWaitingSince"
    JOIN_ATTEMPTS = "SessionJoinAttempts"

    @property
    def kind(self) -> str:
        """Its type, as Temporal's own tools spell it."""
        return _KINDS.get(self, "Keyword")


_KINDS = {
    SearchAttribute.WAITING_SINCE: "Datetime",
    SearchAttribute.JOIN_ATTEMPTS: "Int",
}
