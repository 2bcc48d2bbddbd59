"""The Temporal workers of one process: one for each kind of task, with slots of its own."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.errors import TranslateErrors
from adapters.settings import WorkerSettings
from domain.task_queues import KIND_OF, TaskKind, task_queue_of
from worker.shutdown import GRACEFUL_SHUTDOWN, serving
from worker.slots import SlotUse, logging_slots
from worker.versions import deployment_of
from workflows.archive import ArchiveWorkflow
from workflows.reaper import ReaperWorkflow
from workflows.retention import RetentionWorkflow
from workflows.session import SessionWorkflow
from workflows.summary import SummaryWorkflow
from workflows.task_routing import RouteActivities
from workflows.webhook import WebhookWorkflow

Activity = Callable[..., Any]

WORKFLOWS = [
    SessionWorkflow,
    SummaryWorkflow,
    ArchiveWorkflow,
    WebhookWorkflow,
    ReaperWorkflow,
    RetentionWorkflow,
]
STICKY_QUEUE_TIMEOUT = timedelta(seconds=1.5)
"""How long a workflow task waits for the worker that has the workflow in memory.

After that, any worker takes it. So a killed worker's sessions stand still no longer than that; a
busy worker that takes longer only costs a replay.
"""
WORKFLOW_TASKS = 100
"""Workflow tasks at the same time, each in a thread of its own. One takes some milliseconds."""
LOCAL_ACTIVITIES = 200
"""Records that are written at the same time. While MongoDB hangs, each takes three seconds."""


def workflow_runner() -> SandboxedWorkflowRunner:
    """Run workflow code in Temporal's sandbox, which enforces determinism."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        # Pure models: importing them again for every run would only cost time.
        "domain",
        "pydantic",
        "pydantic_core",
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


@asynccontextmanager
async def serving_all(
    client: Client,
    settings: WorkerSettings,
    activities: Sequence[Activity],
    workflows: Sequence[type] = WORKFLOWS,
) -> AsyncGenerator[None]:
    """Serve every kind of task that the settings give slots to, while the block runs."""
    uses = [
        SlotUse(kind, slots)
        for kind, slots in settings.slots.items()
        if slots and (kind is TaskKind.SESSIONS or of_kind(kind, activities))
    ]
    workers = [_worker(client, settings, activities, workflows, use) for use in uses]
    async with serving(*workers), logging_slots(uses):
        yield


def _worker(
    client: Client,
    settings: WorkerSettings,
    activities: Sequence[Activity],
    workflows: Sequence[type],
    use: SlotUse,
) -> Worker:
    sessions = use.kind is TaskKind.SESSIONS
    return Worker(
        client,
        task_queue=task_queue_of(settings.temporal_task_queue, use.kind),
        workflows=workflows if sessions else [],
        # An older release schedules every activity on the main queue.
        activities=activities if sessions else of_kind(use.kind, activities),
        interceptors=[use, TranslateErrors(), RouteActivities()],
        workflow_runner=workflow_runner(),
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        sticky_queue_schedule_to_start_timeout=STICKY_QUEUE_TIMEOUT,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        max_concurrent_activities=use.slots,
        max_concurrent_local_activities=LOCAL_ACTIVITIES,
        deployment_config=deployment_of(settings),
    )


def of_kind(kind: TaskKind, activities: Sequence[Activity]) -> list[Activity]:
    """The activities of one kind."""
    return [each for each in activities if KIND_OF.get(each.__name__) is kind]
