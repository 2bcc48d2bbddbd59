"""Temporal schedules: the reaper every half minute, retention once a day."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)

from workflows import reaper, retention
from workflows.reaper import ReaperWorkflow
from workflows.retention import RetentionOrder, RetentionWorkflow


async def ensure_reaper(client: Client, task_queue: str) -> None:
    """Create or update the reaper's schedule; safe to repeat."""
    action = ScheduleActionStartWorkflow(
        ReaperWorkflow.run, id=reaper.REAPER_ID, task_queue=task_queue
    )
    await _ensure(client, reaper.REAPER_ID, action, reaper.INTERVAL)


async def ensure_retention(client: Client, task_queue: str) -> None:
    """Create or update the schedule of retention; safe to repeat."""
    action = ScheduleActionStartWorkflow(
        RetentionWorkflow.run, RetentionOrder(), id=retention.RETENTION_ID, task_queue=task_queue
    )
    await _ensure(client, retention.RETENTION_ID, action, retention.INTERVAL)


async def _ensure(client: Client, name: str, action: ScheduleAction, interval: timedelta) -> None:
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(name).update(lambda _: ScheduleUpdate(schedule))
