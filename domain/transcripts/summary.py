"""The summary of a session, with its analysis."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel

from domain.ids import SessionKey
from domain.json_model import or_else
from domain.transcripts.analysis import Analysis, AnalysisPlan


class SummaryStatus(StrEnum):
    """Where a summary is."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class SummaryOrder(BaseModel):
    """A summary to be made: the input of its workflow and of every step of it."""

    org: str
    session_id: str
    revision: int = 1
    """Counts the summaries of the session; above 1 it was asked for again."""
    plan: AnalysisPlan | None = None
    """What else to find out; None for nothing."""
    patience: float = 3600.0
    """For how many seconds a model that is away is asked again; what it refuses fails at once."""

    @property
    def key(self) -> SessionKey:
        """The session whose transcript it is."""
        return SessionKey(self.org, self.session_id)


class Summary(BaseModel):
    """A session's summary record."""

    org: str
    session_id: str
    status: Annotated[SummaryStatus, or_else(SummaryStatus.FAILED)]
    revision: int = 1
    """Counts the summaries of the session; above 1 it was asked for again."""
    text: str | None = None
    """While a re-run is pending, and if it failed, the text of the revision before."""
    attempts: int = 0
    error: str | None = None
    """Reason of the last failure, in a sentence; None when ready."""
    summariser: str | None = None
    """Which summariser wrote it, for instance `extractive` or `openai/gpt-4.1-mini`."""
    transcript_digest: str | None = None
    """Of the transcript that was summarised; differs from the transcript's if it grew later."""
    analysis: Analysis | None = None
    """Extracted data and success; None if the agent's configuration asks for none."""
    plan: AnalysisPlan | None = None
    """What was asked for by the configuration, or by the re-run."""
    updated_at: datetime
