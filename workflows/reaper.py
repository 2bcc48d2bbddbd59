"""The reaper: a short run every half minute, started by a Temporal schedule."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.reaping import ReapingActivities, Swept
    from workflows.failures import reason_of

REAPER_ID = "reaper"
INTERVAL = timedelta(seconds=30)
"""So that a room is gone within a minute of its session's end, whatever ended that."""
LIMIT = timedelta(minutes=2)


@workflow.defn(name="reaper")
class ReaperWorkflow:
    """One sweep; what could not be done now is done by the next."""

    @workflow.run
    async def run(self) -> Swept:
        """Sweep once; the result names what was not possible."""
        try:
            return await workflow.execute_activity_method(
                ReapingActivities.sweep,
                start_to_close_timeout=LIMIT,
                schedule_to_close_timeout=LIMIT,
                summary="compare rooms and records with the open sessions",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            # For instance, its worker was killed.
            workflow.logger.error("the sweep did not end: %s", reason_of(error))
            return Swept(not_done=[f"the sweep did not end: {reason_of(error)}"])
