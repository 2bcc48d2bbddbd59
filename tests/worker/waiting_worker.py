"""A process with the worker of sessions, which can be killed: ADDRESS TASK_QUEUE."""

import asyncio
import sys

from adapters.temporal import client as temporal_client
from tests.worker.waiting_workflow import WaitingWorkflow
from tests.workflows.studio import worker_settings
from worker.workers import serving_all

READY = "the worker is ready"


async def main(address: str, task_queue: str) -> None:
    settings = worker_settings(address, task_queue)
    client = await temporal_client.connect(settings)
    async with serving_all(client, settings, [], [WaitingWorkflow]):
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
