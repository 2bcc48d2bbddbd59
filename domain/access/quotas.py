"""Quotas of concurrent sessions: each session holds a slot until it ends."""

from datetime import datetime
from enum import Enum

from pydantic import BaseModel

from domain.ids import SessionKey


class Life(Enum):
    """The state of a session's workflow, never stale."""

    UNKNOWN = "unknown"
    """It was never started, or so long ago that Temporal has forgotten it."""
    OPEN = "open"
    ENDED = "ended"
    """Closed, terminated, or only its room's deletion is left; it never runs again."""


class Slot(BaseModel):
    """One of an org's session slots, held by a session."""

    org: str
    session_id: str
    number: int
    claimed_at: datetime
    doubted: bool = False
    """The reaper has once seen it without a workflow."""

    @property
    def key(self) -> SessionKey:
        """The session that holds it."""
        return SessionKey(self.org, self.session_id)
