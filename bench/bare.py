"""The baseline on the same Temporal server: workflows that do nothing."""

from datetime import timedelta

from temporalio import activity, workflow

TASK_QUEUE = "everline-bench"
STEPS = 6
"""Activities of the shortest session: open the room, dispatch, find the agent, tell it to finish,
seal the transcript, delete the room."""


@activity.defn
async def nothing() -> None:
    """Do nothing."""


@workflow.defn
class Trivial:
    """Starts and completes."""

    @workflow.run
    async def run(self, _: dict[str, str]) -> None:
        """Return at once."""


@workflow.defn
class BareSession:
    """The activities of a session without their work: six empty ones and one report."""

    def __init__(self) -> None:
        self._reported = False

    @workflow.signal
    def report(self) -> None:
        """Stand for the agent's report."""
        self._reported = True

    @workflow.run
    async def run(self, local: bool) -> None:
        """Run three steps, wait for the report, run three steps."""
        await self._steps(STEPS // 2, local)
        await workflow.wait_condition(lambda: self._reported)
        await self._steps(STEPS - STEPS // 2, local)

    async def _steps(self, count: int, local: bool) -> None:
        execute = workflow.execute_local_activity if local else workflow.execute_activity
        for _ in range(count):
            await execute(nothing, start_to_close_timeout=timedelta(seconds=10))
