"""How long transcripts are kept, and what a deletion took away."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, Field

from domain.ids import SessionKey
from domain.recording import CallRecording

MAX_DAYS = 36_500


class Removed(BaseModel):
    """How many of each part of a transcript were deleted."""

    turns: int = 0
    reports: int = 0
    recordings: int = 0
    summaries: int = 0

    def plus(self, other: "Removed") -> "Removed":
        """Both together."""
        return Removed(
            turns=self.turns + other.turns,
            reports=self.reports + other.reports,
            recordings=self.recordings + other.recordings,
            summaries=self.summaries + other.summaries,
        )


class RetentionRule(BaseModel):
    """How long an org's transcripts are kept after the end of their call."""

    org: str
    days: int | None = Field(default=None, ge=0, le=MAX_DAYS)
    """0 keeps them for ever; None is the installation's default."""
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass(frozen=True)
class OldTranscript:
    """A transcript whose time is over.

    Attributes:
        key: its session.
        place: where it stands in its org's list, the oldest first.
    """

    key: SessionKey
    place: str


class RecordingFiles(Protocol):
    """The storage of recordings."""

    async def delete(self, path: str) -> None:
        """Delete a recording; that there is none is fine."""
        ...


class TranscriptRemoval(Protocol):
    """Deletion of transcripts with all their parts."""

    async def remove(self, key: SessionKey, by: str, at: datetime) -> Removed:
        """Delete a transcript for good; what comes later is dropped. Safe to repeat."""
        ...

    async def recordings(self, key: SessionKey) -> list[CallRecording]:
        """All recordings of the session that anybody has told of."""
        ...

    async def is_removed(self, key: SessionKey) -> bool:
        """Whether the transcript was deleted."""
        ...

    async def ended_before(
        self, org: str, before: datetime, limit: int, after: str | None
    ) -> list[OldTranscript]:
        """The org's transcripts of calls that ended before then, the oldest first.

        With `after`, those that stand behind that place.
        """
        ...

    async def orgs(self, after: str | None, limit: int) -> list[str]:
        """The orgs that have, or had, transcripts, by name; those after `after`."""
        ...


class RetentionRules(Protocol):
    """What orgs have chosen."""

    async def get(self, org: str) -> RetentionRule:
        """The org's rule; one without days if it has chosen none."""
        ...

    async def put(self, rule: RetentionRule) -> None:
        """Store the org's rule."""
        ...
