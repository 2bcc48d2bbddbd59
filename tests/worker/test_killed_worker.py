"""A killed worker's workflows go on with another worker, without standing still for long."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import EventType

from adapters.temporal import client as temporal_client
from stack.supervision.health import NotHealthyError
from tests.servers import ServerProcess, TemporalServer
from tests.waiting import eventually
from tests.worker.waiting_worker import READY
from tests.worker.waiting_workflow import WaitingWorkflow
from tests.workflows.studio import worker_settings

STANDSTILL = 5.0
"""Seconds: the sticky queue's time-out on a busy machine. Temporal's default is 10 s."""


@asynccontextmanager
async def worker(log: Path, address: str, task_queue: str) -> AsyncGenerator[ServerProcess]:
    """A worker process for the block, polling when it begins."""

    async def ready(since: float) -> None:
        if READY not in await asyncio.to_thread(log.read_text):
            raise NotHealthyError("the worker is not ready")

    module = ["-m", "tests.worker.waiting_worker", address, task_queue]
    command = ["env", f"PYTHONPATH={Path.cwd()}", sys.executable, *module]
    process = ServerProcess(command=command, check=ready, log=log)
    try:
        await process.start()
        yield process
    finally:
        process.kill()


async def test_the_workflows_of_a_killed_worker_go_on_in_seconds(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    queue = f"killed-{uuid.uuid4().hex}"
    client = await temporal_client.connect(worker_settings(temporal_server.address, queue))
    async with worker(tmp_path / "killed.log", temporal_server.address, queue) as killed:
        handle = await client.start_workflow(WaitingWorkflow.run, id=queue, task_queue=queue)

        async def in_memory() -> bool:
            events = [event.event_type async for event in handle.fetch_history_events()]
            return EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED in events

        await eventually(in_memory, what="the first worker has the workflow in memory")
        async with worker(tmp_path / "other.log", temporal_server.address, queue):
            killed.kill()
            begun = time.monotonic()
            await handle.signal(WaitingWorkflow.finish)
            await handle.result()
            assert time.monotonic() - begun < STANDSTILL
