"""The summary of a session, with its analysis."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel

from domain.ids import SessionKey
from domain.json_model import or_else
from domain.transcripts.analysis import Analysis, AnalysisPlan


class SummaryStatus(StrEnum):
    """The state of a summary."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class SummaryOrder(BaseModel):
    """A summary to write: the input of its workflow and of each of its steps."""

    org: str
    session_id: str
    revision: int = 1
    """Counts the summaries of the session; from 2 on, they are re-runs."""
    plan: AnalysisPlan | None = None
    """The analysis to make; None for none."""
    patience: float = 3600.0
    """Seconds for which an unavailable model is retried; a refusal fails at once."""

    @property
    def key(self) -> SessionKey:
        """The session of the transcript."""
        return SessionKey(self.org, self.session_id)


class Summary(BaseModel):
    """A session's summary record."""

    org: str
    session_id: str
    status: Annotated[SummaryStatus, or_else(SummaryStatus.FAILED)]
    revision: int = 1
    """Counts the summaries of the session; from 2 on, they are re-runs."""
    text: str | None = None
    """While a re-run is pending or has failed, the text of the previous revision."""
    attempts: int = 0
    error: str | None = None
    """The reason of the last failure, as a sentence; None when ready."""
    summariser: str | None = None
    """The summariser's name, for instance `extractive` or `openai/gpt-4.1-mini`."""
    transcript_digest: str | None = None
    """Digest of the summarised transcript; differs from the current one if turns came later."""
    analysis: Analysis | None = None
    """Extracted data and success; None if the plan has none."""
    plan: AnalysisPlan | None = None
    """The plan of the configuration or of the re-run."""
    updated_at: datetime
