"""Replay what a workflow has done: the same history must lead to the same commands."""

from collections.abc import Sequence

from temporalio import workflow
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
    started = history.events[0].workflow_execution_started_event_attributes
    replayer = Replayer(
        # It loads each one in the sandbox first, whichever the history is of.
        workflows=[one for one in workflows if _name_of(one) == started.workflow_type.name],
        workflow_runner=workflow_runner(),
        interceptors=[RouteActivities()],
        data_converter=converter,
        debug_mode=True,
    )
    await replayer.replay_workflow(history)


def _name_of(workflow_class: type) -> str | None:
    # The SDK has no public way from a class to its name.
    return workflow._Definition.must_from_class(workflow_class).name  # pyright: ignore[reportPrivateUsage]
