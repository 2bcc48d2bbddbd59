"""Persist a transcript after an outage of MongoDB, for as long as it takes."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.archive import ArchiveActivities, SealTranscript
    from domain.ids import SessionKey, archive_workflow_id, summary_workflow_id
    from domain.transcripts.analysis import AnalysisPlan
    from domain.transcripts.summary import SummaryOrder, SummaryStatus
    from workflows.summary import SummaryWorkflow


@workflow.defn(name="archive")
class ArchiveWorkflow:
    """Takes over from a session whose close could not wait for MongoDB."""

    @workflow.run
    async def run(self, order: SealTranscript) -> bool:
        """Seal, then have it summarised; returns whether the transcript is complete."""
        complete = await workflow.execute_activity_method(
            ArchiveActivities.seal_transcript,
            order,
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=2), maximum_interval=timedelta(seconds=30)
            ),
            summary="seal the transcript once MongoDB is back",
        )
        await start_summary(order.key, order.analysis)
        return complete


async def start_archive(order: SealTranscript) -> None:
    """Hand the sealing to a workflow that outlives its parent, unless it is at work already."""
    try:
        await workflow.start_child_workflow(
            ArchiveWorkflow.run,
            order,
            id=archive_workflow_id(order.key),
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=f"archive of session {order.session_id}",
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("archive of session %s was started already", order.session_id)


async def start_summary(
    key: SessionKey, plan: AnalysisPlan | None
) -> workflow.ChildWorkflowHandle[SummaryWorkflow, SummaryStatus] | None:
    """Start a session's summary, which outlives its parent; None if it was started already."""
    try:
        return await workflow.start_child_workflow(
            SummaryWorkflow.run,
            SummaryOrder(org=key.org, session_id=key.session_id, plan=plan),
            id=summary_workflow_id(key),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=f"summary of session {key.session_id}",
        )
    except WorkflowAlreadyStartedError:
        return None
