"""Ports of access: API keys, slots of open sessions, the audit log.

Every method raises `Unavailable` if the store, or Temporal, does not answer.
"""

from typing import Protocol

from domain.access.api_keys import ApiKeyRecord, CreatedKey, NewKeyRequest
from domain.access.audit import AuditAction, AuditEntry, AuditPage
from domain.access.principal import Principal
from domain.access.quotas import Life, Slot
from domain.ids import SessionKey
from domain.paging import Page


class ApiKeys(Protocol):
    """The principals of API keys: Everline's own keys, or an account service's."""

    async def resolve(self, key: str) -> Principal | None:
        """The principal of a key; None if the key is unknown, expired or revoked. Never a guess."""
        ...


class ApiKeyStore(Protocol):
    """The installation's own keys, stored as hashes."""

    async def create(self, org: str, request: NewKeyRequest) -> CreatedKey:
        """Create a key for an org. Only this answer contains the key itself."""
        ...

    async def list_keys(self, org: str) -> list[ApiKeyRecord]:
        """The org's keys, newest first, including revoked and expired ones."""
        ...

    async def revoke(self, org: str, prefix: str) -> bool:
        """Revoke a key permanently; False if the org has no such key."""
        ...


class SessionLives(Protocol):
    """The state of sessions as Temporal knows it."""

    async def open_ids(self, org: str) -> set[str]:
        """Ids of the org's open sessions."""
        ...

    async def life(self, key: SessionKey) -> Life:
        """The state of one session, read from its workflow and so never stale."""
        ...


class JoiningSessions(SessionLives, Protocol):
    """The sessions that wait for their agents, as Temporal lists them, about a second late."""

    async def joining(self, org: str) -> int:
        """How many of the org there are, without those that wait for a place."""
        ...


class Slots(Protocol):
    """Slots in use; at most one session of an org has a given number."""

    async def claim(self, key: SessionKey, limit: int) -> bool:
        """Claim a slot below `limit`, or keep the session's own; False if none is free.

        Safe to repeat after an error. Claiming again clears a `doubt` mark.
        """
        ...

    async def free(self, key: SessionKey) -> bool:
        """Free the session's slot; False if it had none. After an error it may still be taken."""
        ...

    async def taken(self, org: str) -> list[Slot]:
        """The org's slots in use."""
        ...


class AllSlots(Slots, Protocol):
    """The slots of all orgs, for the reaper alone."""

    async def every(self, limit: int, after: str | None = None) -> Page[Slot]:
        """One page of the slots in use, in a stable order, starting after `after`."""
        ...

    async def doubt(self, slot: Slot) -> None:
        """Mark a slot as doubtful, unless it was claimed again since it was read."""
        ...

    async def free_doubted(self, slot: Slot) -> bool:
        """Free a slot that is still marked; False if it was claimed again since it was read."""
        ...


class AuditLog(Protocol):
    """Audit entries: added and read, never changed."""

    async def add(self, entry: AuditEntry) -> bool:
        """Store an entry; False if its id is already stored."""
        ...

    async def page(
        self, org: str, action: AuditAction | None, limit: int, after: str | None
    ) -> AuditPage:
        """The org's entries, newest first; `after` is the `next` of an earlier page.

        Raises:
            InvalidInput: `after` is not such a cursor.
        """
        ...
