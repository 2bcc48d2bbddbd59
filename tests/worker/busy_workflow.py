"""A workflow that keeps several workers busy."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy


@workflow.defn
class BusyWorkflow:
    """Runs the activity `stay` on every task queue that it is given, once."""

    @workflow.run
    async def run(self, task_queues: list[str]) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity(
                    "stay",
                    task_queue=name,
                    start_to_close_timeout=timedelta(minutes=5),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
                for name in task_queues
            )
        )
