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
    """There is one writer per session: its summary workflow."""

    summaries: SummaryArchive
    transcripts: TranscriptArchive
    summariser: Summariser
    analyst: Analyst | None = None

    async def get(self, key: SessionKey) -> Summary | None:
        """The summary record of a session."""
        return await self.summaries.get(key)

    async def begin(self, order: SummaryOrder, now: datetime) -> None:
        """Show that a summary is on its way; what a re-run will replace stays until then."""
        before = await self.summaries.get(order.key)
        pending = self._record(order, SummaryStatus.PENDING, now)
        if before:
            pending.text, pending.transcript_digest = before.text, before.transcript_digest
        await self.summaries.put(pending)

    async def write(self, order: SummaryOrder, attempt: int, now: datetime) -> Summary:
        """Summarise and store; a failed attempt is recorded with its reason and raised again.

        The analysis is pending in what is returned if there is one to be made.

        Raises:
            EverlineError: why it failed; `Unavailable` is worth another attempt.
        """
        turns = await self.transcripts.turns(order.key)
        prompt = order.plan.summary_prompt if order.plan else None
        try:
            text = await self.summariser.summarise(turns, prompt) if turns else NOTHING_SAID
        except EverlineError as error:
            await self._put_failure(order, SummaryStatus.PENDING, error.in_full(), now, attempt)
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

    async def give_up(self, order: SummaryOrder, reason: str, now: datetime) -> None:
        """Record that no summary will come, and why."""
        last = await self.summaries.get(order.key)
        known = last.error if last and last.revision == order.revision else None
        attempts = last.attempts if last and last.revision == order.revision else 0
        await self._put_failure(order, SummaryStatus.FAILED, known or reason, now, attempts)

    async def _put_failure(
        self, order: SummaryOrder, status: SummaryStatus, error: str, now: datetime, attempts: int
    ) -> None:
        before = await self.summaries.get(order.key)
        failed = self._record(order, status, now)
        failed.attempts, failed.error = attempts, error
        if before:
            failed.text, failed.transcript_digest = before.text, before.transcript_digest
        await self.summaries.put(failed)

    async def analyse(self, order: SummaryOrder, attempt: int, now: datetime) -> Analysis:
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
        return ready

    async def give_up_analysis(self, order: SummaryOrder, reason: str, now: datetime) -> None:
        """Record that no analysis will come, and why; the summary stays ready."""
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
