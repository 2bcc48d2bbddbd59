"""The audit log: who did what to an org's data, and when. It never holds what was said."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class AuditAction(StrEnum):
    """What was done."""

    TRANSCRIPT_DELETED = "transcript.deleted"
    RETENTION_APPLIED = "retention.applied"
    """A retention run deleted expired transcripts."""
    RETENTION_CHANGED = "retention.changed"


class AuditEntry(BaseModel):
    """One audited action."""

    org: str
    id: str
    """Unique in the org; retries of an action have the same id."""
    at: datetime
    action: AuditAction
    actor: str
    """Who did it: a user, a key without one, or the retention."""
    subject: str | None = None
    """The object of the action, for example a session id."""
    details: dict[str, int | str | None] = {}
    """Counts and settings, by name."""


class AuditPage(BaseModel):
    """A page of the log, newest first; `next` is the cursor of the following page."""

    entries: list[AuditEntry]
    next: str | None = None
