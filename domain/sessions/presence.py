"""Who of the callers is in the room, from participant events that may come late or out of order."""

from datetime import datetime, timedelta

from domain.sessions.messages import ParticipantChange, ParticipantChanged
from domain.sessions.session import SessionLimits


class Presence:
    """Callers by connection: LiveKit gives every connection its own sid, so order does not matter.

    A page reload is a new connection of the same identity; the caller is present while any lives.
    """

    def __init__(self) -> None:
        self._here: dict[str, str] = {}
        self._gone: set[str] = set()
        self.ever_came = False
        self.left_at: datetime | None = None
        """When the last connection ended; None while somebody is here or nobody came yet."""

    @property
    def present(self) -> bool:
        """Whether a caller is in the room."""
        return bool(self._here)

    @property
    def here(self) -> dict[str, str]:
        """The connections in the room, with their identities."""
        return dict(self._here)

    def missed_at(self, joined_at: datetime | None, limits: SessionLimits) -> datetime | None:
        """When the caller's absence ends the call; None if nobody is missed.

        Args:
            joined_at: when the agent was proven in the room; before that nobody is missed.
            limits: how long a caller may be away.
        """
        if self.left_at:
            return self.left_at + timedelta(seconds=limits.caller_return)
        if self.ever_came or joined_at is None:
            return None
        return joined_at + timedelta(seconds=limits.caller_wait)

    def apply(self, change: ParticipantChanged, now: datetime) -> bool:
        """Take in a caller's event; True if whether somebody is present may have changed."""
        sid = change.sid or f"identity:{change.identity}"
        before = (self.present, self.ever_came)
        if change.change is ParticipantChange.JOINED and sid not in self._gone:
            self._here[sid] = change.identity or sid
            self.ever_came = True
            self.left_at = None
        elif change.change is ParticipantChange.LEFT:
            self._gone.add(sid)
            self._leave(sid, now, was_present=before[0])
        elif change.change is ParticipantChange.NOT_SEEN and sid in self._here:
            self._leave(sid, now, was_present=before[0])
        return before != (self.present, self.ever_came)

    def heard(self, now: datetime) -> None:
        """The caller has spoken, so was in the room until now, whoever did not see it."""
        self.ever_came = True
        if not self._here:
            self.left_at = now

    def _leave(self, sid: str, now: datetime, *, was_present: bool) -> None:
        self._here.pop(sid, None)
        self.ever_came = True
        if not self._here and (self.left_at is None or was_present):
            self.left_at = now
