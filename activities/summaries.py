"""Summarise a transcript, and analyse it."""

from datetime import UTC, datetime

from temporalio import activity

from domain.errors import StorageUnavailable
from domain.transcripts.analysis import AnalysisStatus
from domain.transcripts.summary import SummaryOrder
from domain.webhooks.session_events import summary_ready
from services.transcripts.summaries import Summaries
from services.webhooks.delivery import Announcer


class GiveUpSummary(SummaryOrder):
    """The summary, or analysis, that failed, and why."""

    reason: str


class SummaryActivities:
    """Steps of the summary workflow; without MongoDB (None) a worker cannot do these."""

    def __init__(self, summaries: Summaries | None, announcer: Announcer | None = None) -> None:
        self._optional = summaries
        self._announcer = announcer

    @property
    def _summaries(self) -> Summaries:
        if self._optional is None:
            raise StorageUnavailable(
                "this worker has no MongoDB to store summaries in",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        return self._optional

    @activity.defn
    async def begin_summary(self, order: SummaryOrder) -> None:
        """Record that a summary is pending."""
        await self._summaries.begin(order, datetime.now(UTC))

    @activity.defn
    async def write_summary(self, order: SummaryOrder) -> bool:
        """Summarise and store; returns whether an analysis is to be made."""
        written = await self._summaries.write(order, activity.info().attempt, datetime.now(UTC))
        return written.analysis is not None and written.analysis.status is AnalysisStatus.PENDING

    @activity.defn
    async def give_up_summary(self, order: GiveUpSummary) -> None:
        """Record that no summary will come."""
        await self._summaries.fail(order, order.reason, datetime.now(UTC))

    @activity.defn
    async def analyse_call(self, order: SummaryOrder) -> None:
        """Extract data and judge by the criteria, and store that."""
        await self._summaries.analyse(order, activity.info().attempt, datetime.now(UTC))

    @activity.defn
    async def give_up_analysis(self, order: GiveUpSummary) -> None:
        """Record that no analysis will come; the summary stays."""
        await self._summaries.fail_analysis(order, order.reason, datetime.now(UTC))

    @activity.defn
    async def announce_summary(self, order: SummaryOrder) -> None:
        """Tell the customer's endpoints that a summary is ready."""
        summary = await self._summaries.get(order.key) if self._announcer else None
        if self._announcer and summary:
            await self._announcer.announce(order.org, [summary_ready(summary)])
