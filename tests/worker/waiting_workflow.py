"""A workflow that waits to be told to end."""

from temporalio import workflow


@workflow.defn
class WaitingWorkflow:
    """Ends when it gets the signal `finish`."""

    def __init__(self) -> None:
        self._finished = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._finished)

    @workflow.signal
    def finish(self) -> None:
        self._finished = True
