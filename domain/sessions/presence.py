"""Who of the callers is in the room, from participant events that may come late or out of order."""

from datetime import datetime, timedelta

from domain.sessions.messages import ParticipantChange, ParticipantChanged
from domain.sessions.session import SessionLimits

HANG_UP = "client_initiated"
"""LiveKit's reason of a leave that the client itself wanted: a hang-up, or a page reload."""


class Presence:
    """Callers by connection: LiveKit gives every connection its own sid, so order does not matter.

    A page reload is a new connection of the same identity; the caller is present while any lives.
    """

    def __init__(self) -> None:
        self._here: dict[str, str] = {}
        self._gone: set[str] = set()
        self._hung_up = False
        self.came_at: datetime | None = None
        """When somebody was here first, as far as it is known."""
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
            return self.left_at + timedelta(seconds=limits.absence(hung_up=self._hung_up))
        if self.ever_came or joined_at is None:
            return None
        return joined_at + timedelta(seconds=limits.caller_wait)

    def apply(self, change: ParticipantChanged, now: datetime) -> bool:
        """Take in a caller's event; True if whether somebody is present may have changed."""
        sid = change.sid or f"identity:{change.identity}"
        before = (self.present, self.ever_came)
        if change.change is ParticipantChange.JOINED and sid not in self._gone:
            self._here[sid] = change.identity or sid
            self._came(now)
            self.left_at = None
        elif self._has_ended(change.change, sid):
            self._gone.add(sid)
            self._leave(sid, now, was_present=before[0], hung_up=change.detail == HANG_UP)
        elif change.change is ParticipantChange.NOT_SEEN and sid in self._here:
            self._leave(sid, now, was_present=before[0], hung_up=False)
        return before != (self.present, self.ever_came)

    def _has_ended(self, change: ParticipantChange, sid: str) -> bool:
        # A connection that came to life after all, and failed then, is one that ended.
        failed = change is ParticipantChange.NOT_CONNECTED and sid in self._here
        return failed or change is ParticipantChange.LEFT

    def heard(self, now: datetime) -> None:
        """The caller has spoken, so was in the room until now, whoever did not see it."""
        self._came(now)
        if not self._here:
            self.left_at = now
            self._hung_up = False

    def _came(self, now: datetime) -> None:
        self.ever_came = True
        self.came_at = self.came_at or now

    def _leave(self, sid: str, now: datetime, *, was_present: bool, hung_up: bool) -> None:
        self._here.pop(sid, None)
        self._came(now)
        if not self._here and (self.left_at is None or was_present):
            self.left_at = now
            self._hung_up = hung_up
