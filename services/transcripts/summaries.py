"""Summarise and analyse a session's transcript: pending, then ready or failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.errors import Conflict, EverlineError, NotFound
from domain.ids import SessionKey
from domain.transcripts.analysis import Analysis, AnalysisPlan, AnalysisStatus
from domain.transcripts.ports import Analyst, Summariser, SummaryArchive, TranscriptArchive
from domain.transcripts.summary import Summary, SummaryOrder, SummaryStatus
from domain.transcripts.transcript import Turn, transcript_digest

NOTHING_SAID = "The call ended before anything was said."
NO_ANALYST = "the extractive summariser cannot analyse; a worker with SUMMARISER=openai can"


@dataclass
class Summaries:
    """The summary records; a session's summary workflow is the only writer of its record."""

    summaries: SummaryArchive
    transcripts: TranscriptArchive
    summariser: Summariser
    analyst: Analyst | None = None

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session."""
        return await self.summaries.get(key)

    async def begin(self, order: SummaryOrder, now: datetime) -> None:
        """Record that a summary is pending."""
        await self._put_without_text(order, SummaryStatus.PENDING, now)

    async def write(self, order: SummaryOrder, attempt: int, now: datetime) -> Summary:
        """Summarise and store; a failed attempt is recorded with its reason and raised again.

        The returned summary has a pending analysis if one is to be made.

        Raises:
            EverlineError: why it failed; `Unavailable` is worth another attempt.
        """
        turns = await self.transcripts.turns(order.key)
        prompt = order.plan.summary_prompt if order.plan else None
        try:
            text = await self.summariser.summarise(turns, prompt) if turns else NOTHING_SAID
        except EverlineError as error:
            await self._put_without_text(
                order, SummaryStatus.PENDING, now, error=error.in_full(), attempts=attempt
            )
            raise
        ready = self._record(order, SummaryStatus.READY, now)
        ready.attempts = attempt
        ready.text = text
        ready.transcript_digest = transcript_digest(turns)
        ready.analysis = self._planned(order.plan, turns)
        await self.summaries.put(ready)
        return ready

    def _planned(self, plan: AnalysisPlan | None, turns: Sequence[Turn]) -> Analysis | None:
        if plan is None or not plan.asks:
            return None
        if self.analyst is None:
            return Analysis(status=AnalysisStatus.UNAVAILABLE, reason=NO_ANALYST)
        if not any(turn.text.strip() for turn in turns):
            return Analysis(status=AnalysisStatus.UNAVAILABLE, reason="nothing was said")
        return Analysis(status=AnalysisStatus.PENDING)

    async def fail(self, order: SummaryOrder, reason: str, now: datetime) -> None:
        """Record the summary as failed; `reason` counts if no attempt has recorded its own."""
        last = await self.summaries.get(order.key)
        tried = last if last and last.revision == order.revision else None
        await self._put_without_text(
            order,
            SummaryStatus.FAILED,
            now,
            error=(tried and tried.error) or reason,
            attempts=tried.attempts if tried else 0,
        )

    async def _put_without_text(
        self,
        order: SummaryOrder,
        status: SummaryStatus,
        now: datetime,
        *,
        error: str | None = None,
        attempts: int = 0,
    ) -> None:
        """Store a record that has no text of its own: it keeps that of the revision before."""
        before = await self.summaries.get(order.key)
        record = self._record(order, status, now)
        record.attempts, record.error = attempts, error
        if before:
            record.text, record.transcript_digest = before.text, before.transcript_digest
        await self.summaries.put(record)

    async def analyse(self, order: SummaryOrder, attempt: int, now: datetime) -> None:
        """Analyse and store; a failed attempt is recorded with its reason and raised again.

        Raises:
            EverlineError: why it failed; `Unavailable` is worth another attempt.
        """
        summary = await self.summaries.get(order.key)
        if summary is None:
            raise NotFound("the summary that belongs to this analysis was deleted")
        if self.analyst is None or order.plan is None:
            raise Conflict(NO_ANALYST)
        turns = await self.transcripts.turns(order.key)
        try:
            findings = await self.analyst.analyse(turns, order.plan)
        except EverlineError as error:
            tried = Analysis(
                status=AnalysisStatus.PENDING, reason=error.in_full(), attempts=attempt
            )
            await self._put_analysis(summary, tried, now)
            raise
        ready = Analysis(
            status=AnalysisStatus.READY,
            data=findings.data,
            criteria=findings.criteria,
            success=findings.success,
            attempts=attempt,
        )
        await self._put_analysis(summary, ready, now)

    async def fail_analysis(self, order: SummaryOrder, reason: str, now: datetime) -> None:
        """Record the analysis as failed, with its last attempt's reason if it has one."""
        summary = await self.summaries.get(order.key)
        if summary is None:
            return  # deleted with its transcript
        last = summary.analysis or Analysis(status=AnalysisStatus.PENDING)
        failed = Analysis(
            status=AnalysisStatus.FAILED, reason=last.reason or reason, attempts=last.attempts
        )
        await self._put_analysis(summary, failed, now)

    async def _put_analysis(self, summary: Summary, analysis: Analysis, now: datetime) -> None:
        await self.summaries.put(
            summary.model_copy(update={"analysis": analysis, "updated_at": now})
        )

    def _record(self, order: SummaryOrder, status: SummaryStatus, now: datetime) -> Summary:
        return Summary(
            org=order.org,
            session_id=order.session_id,
            revision=order.revision,
            status=status,
            summariser=self.summariser.name,
            plan=order.plan,
            updated_at=now,
        )
