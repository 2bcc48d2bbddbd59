"""The reaper: a short run every half minute, started by a Temporal schedule."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.reaping import ReapingActivities, Swept

REAPER_ID = "reaper"
INTERVAL = timedelta(seconds=30)
"""So that a room is gone within a minute of its session's end, whatever ended that."""


@workflow.defn(name="reaper")
class ReaperWorkflow:
    """One sweep; what could not be done now is done by the next."""

    @workflow.run
    async def run(self) -> Swept:
        """Sweep once."""
        return await workflow.execute_activity_method(
            ReapingActivities.sweep,
            start_to_close_timeout=timedelta(minutes=2),
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="compare rooms and records with the open sessions",
        )
