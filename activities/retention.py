"""The steps of the retention: which orgs are due, delete a batch, write down what was done."""

from datetime import UTC, datetime
from typing import cast

from pydantic import BaseModel
from temporalio import activity

from domain.errors import StorageUnavailable
from domain.json_model import reader
from services.transcripts.retention import Due, DueOrg, Expired, Retention

__all__ = ["Due", "DueOrg", "ExpireBatch", "Expired", "NextOrgs", "RecordExpired"]


class NextOrgs(BaseModel):
    """Which part of the walk over all orgs."""

    after: str | None
    limit: int


class ExpireBatch(BaseModel):
    """Up to `limit` transcripts of an org to delete, those that stand behind `after`."""

    due: DueOrg
    limit: int
    run_id: str
    after: str | None = None


class RecordExpired(BaseModel):
    """What a run deleted in an org."""

    due: DueOrg
    expired: Expired
    run_id: str


class RetentionActivities:
    """Without MongoDB (None) there is nothing to delete."""

    def __init__(self, retention: Retention | None) -> None:
        self._optional = retention

    @property
    def _retention(self) -> Retention:
        if self._optional is None:
            raise StorageUnavailable(
                "this worker has no MongoDB to delete transcripts from",
                field="MONGODB_URI",
                cure="set the worker's MONGODB_URI to the API's value",
            )
        return self._optional

    @activity.defn
    async def next_due_orgs(self, order: NextOrgs) -> Due:
        """The orgs of this part whose transcripts are not kept for ever."""
        if self._optional is None:
            return Due(orgs=[])
        return await self._optional.due(order.after, order.limit, datetime.now(UTC))

    @activity.defn
    async def expire_batch(self, order: ExpireBatch) -> Expired:
        """Delete a batch; a retry goes on behind the try before it, and counts what that did."""
        before = _done_before()
        done = await self._retention.expire(
            order.due,
            order.limit,
            before.after or order.after,
            f"retention {order.run_id}",
            datetime.now(UTC),
            lambda so_far: activity.heartbeat(before.plus(so_far).model_dump()),
        )
        return before.plus(done)

    @activity.defn
    async def record_expired(self, order: RecordExpired) -> None:
        """Write the audit entry of a run in an org."""
        await self._retention.record_expired(
            order.due, order.expired, order.run_id, datetime.now(UTC)
        )


def _done_before() -> Expired:
    details = cast("list[object]", activity.info().heartbeat_details)
    return reader(Expired)(details[0]) if details else Expired()
