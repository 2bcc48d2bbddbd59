"""What access needs from the outside world: API keys, slots of open sessions, the audit log."""

from typing import Protocol

from domain.access.api_keys import ApiKeyRecord, CreatedKey, NewKeyRequest
from domain.access.audit import AuditAction, AuditEntry, AuditPage
from domain.access.principal import Principal
from domain.access.quotas import Life, Slot
from domain.ids import SessionKey
from domain.paging import Page


class ApiKeys(Protocol):
    """Whom API keys speak for: Everline's own keys, or an account service."""

    async def resolve(self, key: str) -> Principal | None:
        """Whom a key speaks for; None if it is not known.

        Raises:
            Unavailable: that cannot be told now; never a guess.
        """
        ...


class ApiKeyStore(Protocol):
    """The installation's own keys, stored as hashes."""

    async def create(self, org: str, request: NewKeyRequest) -> CreatedKey:
        """Make a key for an org; the answer is the only place where it can be read."""
        ...

    async def list_keys(self, org: str) -> list[ApiKeyRecord]:
        """The org's keys, the newest first; revoked and expired ones too."""
        ...

    async def revoke(self, org: str, prefix: str) -> bool:
        """End a key for good, from the next request on; False if the org has no such key."""
        ...


class SessionLives(Protocol):
    """The sessions as Temporal, the truth of their life, knows them."""

    async def open_ids(self, org: str) -> set[str]:
        """Ids of the org's open sessions."""
        ...

    async def life(self, key: SessionKey) -> Life:
        """What is known of one session; not behind the truth."""
        ...


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

    async def every(self, limit: int, after: str | None = None) -> Page[Slot]:
        """Taken slots, in an order that stays; with `after`, those behind it."""
        ...

    async def doubt(self, slot: Slot) -> None:
        """Mark a slot, unless it was claimed again since it was read."""
        ...

    async def free_doubted(self, slot: Slot) -> bool:
        """Free a slot that is still marked; False if it was claimed again since it was read."""
        ...


class AuditLog(Protocol):
    """Entries are added and read, never changed."""

    async def add(self, entry: AuditEntry) -> bool:
        """Store an entry; False if there is one of this id."""
        ...

    async def page(
        self, org: str, action: AuditAction | None, limit: int, after: str | None
    ) -> AuditPage:
        """The org's entries, the newest first; `after` is an earlier page's `next`."""
        ...
