"""Replay what a workflow has done: the same history must lead to the same commands."""

from collections.abc import Sequence

from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.worker import Replayer

from worker.workers import WORKFLOWS, workflow_runner
from workflows.task_routing import RouteActivities


async def replay(
    history: WorkflowHistory, converter: DataConverter, workflows: Sequence[type] = WORKFLOWS
) -> None:
    """Run a history again, in the sandbox of the worker; raises if it does not lead to the same.

    Without the limit of two seconds that a worker sets a workflow task: there a busy machine costs
    one more attempt, but a replayer has only one.
    """
    replayer = Replayer(
        workflows=workflows,
        workflow_runner=workflow_runner(),
        interceptors=[RouteActivities()],
        data_converter=converter,
        debug_mode=True,
    )
    await replayer.replay_workflow(history)
