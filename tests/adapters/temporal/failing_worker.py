"""A process that logs as our worker does, with a workflow whose task fails: ADDRESS MODE."""

import asyncio
import os
import sys

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from adapters import logs
from tests.adapters.temporal.failing_workflow import FailingWorkflow

QUEUE = "failing"


async def main(address: str, mode: str) -> None:
    logs.configure(development=mode == "development", level="WARNING")
    client = await Client.connect(address)
    async with Worker(client, task_queue=QUEUE, workflows=[FailingWorkflow]):
        started = await client.start_workflow(
            FailingWorkflow.run, id=f"failing-{mode}", task_queue=QUEUE
        )
        async with asyncio.timeout(60):
            await task_failed(started)
        await started.terminate()


async def task_failed(started: WorkflowHandle[FailingWorkflow, None]) -> None:
    while True:
        events = [event.event_type async for event in started.fetch_history_events()]
        if EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in events:
            return
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    sys.stderr.flush()
    # Now and then a thread of the SDK's comes too late into an interpreter that ends, and aborts.
    os._exit(0)
