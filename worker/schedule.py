"""The schedule that runs the reaper."""

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from workflows.reaper import INTERVAL, REAPER_ID, ReaperWorkflow


async def ensure_reaper(client: Client, task_queue: str) -> None:
    """Create the reaper's schedule, or bring an older one up to date; safe to repeat."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(ReaperWorkflow.run, id=REAPER_ID, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=INTERVAL)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(REAPER_ID, schedule)
    except ScheduleAlreadyRunningError:

        async def current(_: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=schedule)

        await client.get_schedule_handle(REAPER_ID).update(current)
