"""The workers of one process are told to end at the same time, and none waits for another."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from tests.servers import TemporalServer
from tests.waiting import eventually
from tests.worker.busy_workflow import BusyWorkflow
from worker.shutdown import serving


class Stays:
    """Activities that go on until each of them was told that its worker shuts down."""

    def __init__(self, task_queues: Sequence[str]) -> None:
        self._all_told = asyncio.Barrier(len(task_queues))
        self.begun: set[str] = set()
        self.ended: set[str] = set()

    @activity.defn(name="stay")
    async def stay(self) -> None:
        task_queue = activity.info().task_queue
        self.begun.add(task_queue)
        await activity.wait_for_worker_shutdown()
        await self._all_told.wait()
        self.ended.add(task_queue)


async def test_all_workers_are_told_before_any_of_them_is_waited_for(
    temporal_server: TemporalServer,
) -> None:
    client = await Client.connect(temporal_server.address)
    unique = uuid.uuid4().hex
    queues = [f"{unique}-{name}" for name in ("sessions", "listeners", "deliveries")]
    stays = Stays(queues)
    workers = [
        Worker(
            client,
            task_queue=name,
            workflows=[BusyWorkflow] if name == queues[0] else [],
            activities=[stays.stay],
            graceful_shutdown_timeout=timedelta(seconds=30),
        )
        for name in queues
    ]
    async with serving(*workers):
        await client.start_workflow(
            BusyWorkflow.run, queues, id=f"busy-{unique}", task_queue=queues[0]
        )
        await eventually(lambda: stays.begun == set(queues))
    assert stays.ended == set(queues)
