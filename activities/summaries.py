"""Summarise a transcript."""

from datetime import UTC, datetime

from pydantic import BaseModel
from temporalio import activity

from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from services.summaries import Summaries


class SummariseSession(BaseModel):
    """The session to summarise."""

    org: str
    session_id: str

    @property
    def key(self) -> SessionKey:
        """The session whose transcript it is."""
        return SessionKey(self.org, self.session_id)


class GiveUpSummary(SummariseSession):
    """The session whose summary failed, and why."""

    reason: str


class SummaryActivities:
    """Steps of the summary workflow; without MongoDB (None) a worker cannot do these."""

    def __init__(self, summaries: Summaries | None) -> None:
        self._optional = summaries

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
    async def begin_summary(self, order: SummariseSession) -> None:
        """Record that a summary is pending."""
        await self._summaries.begin(order.key, datetime.now(UTC))

    @activity.defn
    async def write_summary(self, order: SummariseSession) -> None:
        """Summarise and store."""
        await self._summaries.write(order.key, activity.info().attempt, datetime.now(UTC))

    @activity.defn
    async def give_up_summary(self, order: GiveUpSummary) -> None:
        """Record that no summary will come."""
        await self._summaries.give_up(order.key, order.reason, datetime.now(UTC))
