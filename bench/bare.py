"""The bare minimum on the same Temporal server: workflows that do nothing, as often as needed."""

from datetime import timedelta

from temporalio import activity, workflow

TASK_QUEUE = "everline-bench"
STEPS = 6
"""What a session asks of the outside at least: open the room, dispatch, look for the agent, tell
it to finish, seal the transcript, delete the room."""


@activity.defn
async def nothing() -> None:
    """Do nothing."""


@workflow.defn
class Trivial:
    """Is started, and over."""

    @workflow.run
    async def run(self, _: dict[str, str]) -> None:
        """Return at once."""


@workflow.defn
class BareSession:
    """A session's steps without a session: waits for one report, does nothing six times."""

    def __init__(self) -> None:
        self._reported = False

    @workflow.signal
    def report(self) -> None:
        """What the agent's report is to a session."""
        self._reported = True

    @workflow.run
    async def run(self, local: bool) -> None:
        """Three steps, the report, three steps."""
        await self._steps(STEPS // 2, local)
        await workflow.wait_condition(lambda: self._reported)
        await self._steps(STEPS - STEPS // 2, local)

    async def _steps(self, count: int, local: bool) -> None:
        execute = workflow.execute_local_activity if local else workflow.execute_activity
        for _ in range(count):
            await execute(nothing, start_to_close_timeout=timedelta(seconds=10))
