"""How many sessions an org has at the same time: each takes a slot, and frees it when it ends."""

from datetime import datetime
from enum import Enum

from pydantic import BaseModel

from domain.ids import SessionKey


class Life(Enum):
    """What Temporal knows of a session, exactly."""

    UNKNOWN = "unknown"
    """It was never started, or so long ago that Temporal has forgotten it."""
    OPEN = "open"
    ENDED = "ended"
    """Closed, terminated, or only its room's deletion is left; it never runs again."""


class Slot(BaseModel):
    """The place of one session among those that its org may have at the same time."""

    org: str
    session_id: str
    number: int
    claimed_at: datetime
    doubted: bool = False
    """The reaper has seen it once without a workflow."""

    @property
    def key(self) -> SessionKey:
        """The session that holds it."""
        return SessionKey(self.org, self.session_id)
