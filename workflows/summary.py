"""The summary of a session: it has one writer, and is never left half done."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.summaries import GiveUpSummary, SummaryActivities
    from domain.transcripts.summary import SummaryOrder, SummaryStatus
    from workflows.failures import reason_of

_STORING = timedelta(seconds=10)
_STORE = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
_ASKING = timedelta(minutes=3)
"""One try of a model; an analysis may ask twice."""
_ASK = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    maximum_interval=timedelta(minutes=5),
)


@workflow.defn(name="summary")
class SummaryWorkflow:
    """pending, then ready or failed, with the number of attempts and the reason.

    A re-run is another run of the same workflow id, so that there never are two writers.
    """

    @workflow.run
    async def run(self, order: SummaryOrder) -> SummaryStatus:
        """Summarise one session, then analyse it; returns how the summary ended."""
        await workflow.execute_activity_method(
            SummaryActivities.begin_summary,
            order,
            start_to_close_timeout=_STORING,
            retry_policy=_STORE,
        )
        try:
            to_be_analysed = await workflow.execute_activity_method(
                SummaryActivities.write_summary,
                order,
                start_to_close_timeout=_ASKING,
                schedule_to_close_timeout=timedelta(seconds=order.patience),
                retry_policy=_ASK,
                summary="summarise the transcript",
            )
        except ActivityError as error:
            await workflow.execute_activity_method(
                SummaryActivities.give_up_summary,
                _failed(order, error),
                start_to_close_timeout=_STORING,
                retry_policy=_STORE,
            )
            return SummaryStatus.FAILED
        if to_be_analysed:
            await self._analyse(order)
        # Local: it only looks up endpoints in most cases, and nothing else happens here.
        await workflow.execute_local_activity_method(
            SummaryActivities.announce_summary,
            order,
            start_to_close_timeout=_STORING,
            retry_policy=_STORE,
        )
        return SummaryStatus.READY

    async def _analyse(self, order: SummaryOrder) -> None:
        """Extract data and judge; a summary is ready whatever comes of it."""
        try:
            await workflow.execute_activity_method(
                SummaryActivities.analyse_call,
                order,
                start_to_close_timeout=_ASKING,
                schedule_to_close_timeout=timedelta(seconds=order.patience),
                retry_policy=_ASK,
                summary="analyse the transcript",
            )
        except ActivityError as error:
            await workflow.execute_activity_method(
                SummaryActivities.give_up_analysis,
                _failed(order, error),
                start_to_close_timeout=_STORING,
                retry_policy=_STORE,
            )


def _failed(order: SummaryOrder, error: ActivityError) -> GiveUpSummary:
    return GiveUpSummary(**dict(order), reason=reason_of(error))
