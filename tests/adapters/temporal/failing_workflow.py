"""A workflow whose task fails, which Temporal then gives it again."""

from temporalio import workflow


@workflow.defn
class FailingWorkflow:
    """Never gets beyond its first task."""

    @workflow.run
    async def run(self) -> None:
        raise ValueError("an odd value")
