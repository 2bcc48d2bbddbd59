"""The audit log: who did what to an org's data, and when. It never holds what was said."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel


class AuditAction(StrEnum):
    """What was done."""

    TRANSCRIPT_DELETED = "transcript.deleted"
    RETENTION_APPLIED = "retention.applied"
    """Transcripts whose time was over were deleted by a run of the retention."""
    RETENTION_CHANGED = "retention.changed"


class AuditEntry(BaseModel):
    """One thing that was done."""

    org: str
    id: str
    """Unique in the org; the same deed has the same, however often it is tried."""
    at: datetime
    action: AuditAction
    actor: str
    """Who did it: a user, a key without one, or the retention."""
    subject: str | None = None
    """What it was done to, for instance a session's id."""
    details: dict[str, int | str | None] = {}
    """Counts and settings, by name."""


class AuditPage(BaseModel):
    """Part of the log, the newest first; `next` is where the following part begins."""

    entries: list[AuditEntry]
    next: str | None = None


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
