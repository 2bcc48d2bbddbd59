"""The summary of a session: its one writer, never abandoned half-way."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.summaries import GiveUpSummary, SummariseSession, SummaryActivities
    from domain.summary import SummaryStatus

_STORE = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
_SUMMARISE = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    maximum_interval=timedelta(minutes=1),
    maximum_attempts=5,
)


@workflow.defn(name="summary")
class SummaryWorkflow:
    """pending, then ready or failed, with the number of attempts and the reason."""

    @workflow.run
    async def run(self, order: SummariseSession) -> SummaryStatus:
        """Summarise one session; returns how it ended."""
        await workflow.execute_activity_method(
            SummaryActivities.begin_summary,
            order,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=_STORE,
        )
        try:
            await workflow.execute_activity_method(
                SummaryActivities.write_summary,
                order,
                start_to_close_timeout=timedelta(minutes=2),
                retry_policy=_SUMMARISE,
                summary="summarise the transcript",
            )
        except ActivityError as error:
            reason = str(error.cause) if error.cause else str(error)
            await workflow.execute_activity_method(
                SummaryActivities.give_up_summary,
                GiveUpSummary(org=order.org, session_id=order.session_id, reason=reason),
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=_STORE,
            )
            return SummaryStatus.FAILED
        return SummaryStatus.READY
