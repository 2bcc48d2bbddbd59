"""The reaper's workflow: a sweep that does not end is named in its result, and fails nothing."""

import uuid

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.workflows.calls import Studio
from worker.workers import workflow_runner
from workflows.reaper import ReaperWorkflow


@activity.defn(name="sweep")
async def sweep_that_is_cut_short() -> None:
    """Its worker is shut down in the middle."""
    raise ApplicationError("the worker was shut down", non_retryable=True)


async def test_a_sweep_that_does_not_end_is_no_failed_workflow(studio: Studio) -> None:
    name = f"reaper-{uuid.uuid4().hex}"
    async with Worker(
        studio.client,
        task_queue=name,
        workflows=[ReaperWorkflow],
        activities=[sweep_that_is_cut_short],
        workflow_runner=workflow_runner(),
    ):
        swept = await studio.client.execute_workflow(ReaperWorkflow.run, id=name, task_queue=name)

    assert swept.not_done == ["the sweep did not end: the worker was shut down"]
    assert swept.rooms_deleted == 0
