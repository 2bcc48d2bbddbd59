"""The summary of a session."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel


class SummaryStatus(StrEnum):
    """Where a summary is."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class Summary(BaseModel):
    """A session's summary record."""

    org: str
    session_id: str
    status: SummaryStatus
    text: str | None = None
    attempts: int = 0
    error: str | None = None
    """Reason of the last failure, in a sentence; None when ready."""
    summariser: str | None = None
    """Which summariser wrote it, for instance `extractive` or `openai/gpt-4.1-mini`."""
    transcript_digest: str | None = None
    """Of the transcript that was summarised; differs from the transcript's if it grew later."""
    updated_at: datetime
