"""Retention rules, and the results of deletions."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from domain.ids import SessionKey

MAX_DAYS = 36_500


class Removed(BaseModel):
    """How many parts of transcripts were deleted, by kind."""

    turns: int = 0
    reports: int = 0
    recordings: int = 0
    summaries: int = 0

    def plus(self, other: "Removed") -> "Removed":
        """The sum."""
        fields = Removed.model_fields
        return Removed(**{name: getattr(self, name) + getattr(other, name) for name in fields})


class RetentionRule(BaseModel):
    """How long an org's transcripts are kept after the end of their call."""

    org: str
    days: int | None = Field(default=None, ge=0, le=MAX_DAYS)
    """0 keeps them for ever; None is the installation's default."""
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass(frozen=True)
class OldTranscript:
    """A transcript past its retention, with `place`, its sort key in the org's list."""

    key: SessionKey
    place: str
