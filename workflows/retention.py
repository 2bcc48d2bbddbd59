"""The retention: once a day, delete the transcripts whose time is over.

It walks over all orgs in parts, each a run of its own that continues as the next, so that its
history stays short. What a day's run does is bounded; the rest waits for the next day's. An org
that something is wrong with keeps no other from being cleared.
"""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

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
    from workflows.failures import reason_of

RETENTION_ID = "retention"
INTERVAL = timedelta(days=1)
_STORE = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(minutes=5))


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
    patience: timedelta = timedelta(hours=1)
    """How long one step of one org may be tried; then the walk goes on without it."""


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
            retry_policy=_STORE,
            summary="which orgs do not keep their transcripts for ever",
        )

    async def _expire(self, order: RetentionOrder, due: DueOrg, run_id: str) -> int:
        expired = Expired(more=True)
        try:
            for _ in range(order.batches_per_org):
                batch = ExpireBatch(due=due, limit=order.batch, run_id=run_id, after=expired.after)
                expired = expired.plus(await self._expire_batch(order, batch))
                if not expired.more:
                    break
        except ActivityError as error:
            _go_on_without(due, error)
        try:
            if expired.transcripts or expired.not_deleted:
                await self._record(order, RecordExpired(due=due, expired=expired, run_id=run_id))
        except ActivityError as error:
            _go_on_without(due, error)
        return expired.transcripts

    async def _expire_batch(self, order: RetentionOrder, batch: ExpireBatch) -> Expired:
        return await workflow.execute_activity_method(
            RetentionActivities.expire_batch,
            batch,
            start_to_close_timeout=timedelta(minutes=30),
            schedule_to_close_timeout=order.patience,
            # One transcript is six short operations, each of which may take its whole time.
            heartbeat_timeout=timedelta(minutes=2),
            retry_policy=_STORE,
            summary=f"delete old transcripts of {batch.due.org}",
        )

    async def _record(self, order: RetentionOrder, entry: RecordExpired) -> None:
        await workflow.execute_activity_method(
            RetentionActivities.record_expired,
            entry,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=order.patience,
            retry_policy=_STORE,
            summary=f"write down what was deleted of {entry.due.org}",
        )


def _go_on_without(due: DueOrg, error: ActivityError) -> None:
    """The next day's run comes to this org again; a run that was called off goes on with none."""
    if is_cancelled_exception(error):
        raise error
    reason = reason_of(error)
    workflow.logger.error("the retention goes on without an org: %s: %s", due.org, reason)
