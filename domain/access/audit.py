"""The audit log: who did what to an org's data, and when. It never holds what was said."""

from datetime import datetime
from enum import StrEnum

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
