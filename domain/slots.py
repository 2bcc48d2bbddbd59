"""How many sessions an org has at the same time: each takes a slot, and frees it when it ends."""

from datetime import datetime
from enum import Enum
from typing import Protocol

from pydantic import BaseModel

from domain.ids import SessionKey
from domain.walking import Part


class Life(Enum):
    """What Temporal knows of a session, exactly."""

    UNKNOWN = "unknown"
    """It was never started, or so long ago that Temporal has forgotten it."""
    OPEN = "open"
    ENDED = "ended"
    """Closed, terminated, or only its room's deletion is left; it never runs again."""


class SessionLives(Protocol):
    """The sessions as Temporal, the truth of their life, knows them."""

    async def open_ids(self, org: str) -> set[str]:
        """Ids of the org's open sessions."""
        ...

    async def life(self, key: SessionKey) -> Life:
        """What is known of one session; not behind the truth."""
        ...


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


class Slots(Protocol):
    """The slots that are taken; a number is taken by one session of its org at most."""

    async def claim(self, key: SessionKey, limit: int) -> bool:
        """Take a slot below `limit`, or keep the one that the session has; False if none is left.

        Claiming again removes a doubt.
        """
        ...

    async def free(self, key: SessionKey) -> bool:
        """Free the session's slot; False if it had none."""
        ...

    async def taken(self, org: str) -> list[Slot]:
        """The org's taken slots."""
        ...


class AllSlots(Slots, Protocol):
    """The slots of all orgs, for the reaper alone."""

    async def every(self, limit: int, after: str | None = None) -> Part[Slot]:
        """Taken slots, in an order that stays; with `after`, those behind it."""
        ...

    async def doubt(self, slot: Slot) -> None:
        """Mark a slot, unless it was claimed again since it was read."""
        ...

    async def free_doubted(self, slot: Slot) -> bool:
        """Free a slot that is still marked; False if it was claimed again since it was read."""
        ...
