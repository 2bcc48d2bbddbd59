"""The retention: once a day, delete the transcripts whose time is over.

It walks over all orgs in parts, each a run of its own that continues as the next, so that its
history stays short. What a day's run does is bounded; the rest waits for the next day's.
"""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.retention import (
        Due,
        DueOrg,
        ExpireBatch,
        Expired,
        NextOrgs,
        RecordExpired,
        RetentionActivities,
    )

RETENTION_ID = "retention"
INTERVAL = timedelta(days=1)
_STORE = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=5))
_PATIENCE = timedelta(hours=6)
"""How long MongoDB may be away; the next day's run goes on."""


class RetentionOrder(BaseModel):
    """Where the walk goes on, and what was done before."""

    after: str | None = None
    transcripts: int = 0
    run_id: str | None = None
    """Of the walk's first run; the audit log's entries are named by it."""
    orgs_at_once: int = 50
    """Orgs of one part of the walk."""
    batch: int = 100
    """Transcripts that one activity deletes: some seconds of work."""
    batches_per_org: int = 50
    """So that one org's backlog does not keep the others' from being worked off."""


@workflow.defn(name="retention")
class RetentionWorkflow:
    """One walk over all orgs."""

    @workflow.run
    async def run(self, order: RetentionOrder) -> int:
        """Walk on; returns how many transcripts were deleted in all."""
        run_id = order.run_id or workflow.info().run_id
        part = await self._next_orgs(order)
        deleted = order.transcripts
        for due in part.orgs:
            deleted += await self._expire(order, due, run_id)
        if part.next is None:
            return deleted
        done = {"after": part.next, "transcripts": deleted, "run_id": run_id}
        workflow.continue_as_new(order.model_copy(update=done))

    async def _next_orgs(self, order: RetentionOrder) -> Due:
        return await workflow.execute_activity_method(
            RetentionActivities.next_due_orgs,
            NextOrgs(after=order.after, limit=order.orgs_at_once),
            start_to_close_timeout=timedelta(minutes=2),
            schedule_to_close_timeout=_PATIENCE,
            retry_policy=_STORE,
            summary="which orgs do not keep their transcripts for ever",
        )

    async def _expire(self, order: RetentionOrder, due: DueOrg, run_id: str) -> int:
        expired = Expired(more=True)
        for _ in range(order.batches_per_org):
            batch = await workflow.execute_activity_method(
                RetentionActivities.expire_batch,
                ExpireBatch(due=due, limit=order.batch, run_id=run_id),
                start_to_close_timeout=timedelta(minutes=30),
                schedule_to_close_timeout=_PATIENCE,
                # One transcript is six short operations, each of which may take its whole time.
                heartbeat_timeout=timedelta(minutes=2),
                retry_policy=_STORE,
                summary=f"delete old transcripts of {due.org}",
            )
            expired = expired.plus(batch)
            if not batch.more:
                break
        if expired.transcripts:
            await workflow.execute_activity_method(
                RetentionActivities.record_expired,
                RecordExpired(due=due, expired=expired, run_id=run_id),
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=_PATIENCE,
                retry_policy=_STORE,
                summary=f"write down what was deleted of {due.org}",
            )
        return expired.transcripts
