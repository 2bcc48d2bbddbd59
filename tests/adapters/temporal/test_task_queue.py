"""Who polls a task queue: workers that are there, not those that Temporal still lists."""

import socket
import time
import uuid
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from adapters.temporal.sessions import TemporalSessions
from adapters.temporal.task_queue import POLL_SECONDS, polling_workers
from tests.adapters.temporal.secret_workflow import SecretWorkflow
from tests.servers import TemporalServer
from tests.waiting import eventually
from worker.health import HealthSettings, NotPollingError, check

PATIENCE = timedelta(seconds=10)


async def test_a_worker_counts_until_its_last_poll_must_have_ended(
    temporal_server: TemporalServer,
) -> None:
    client = await Client.connect(temporal_server.address)
    queue = f"polled-{uuid.uuid4().hex}"

    async def listed(later: float = 0) -> int:
        return len(await polling_workers(client, queue, time.time() + later, PATIENCE))

    async def is_listed() -> bool:
        return await listed() == 1

    assert not await listed()
    async with Worker(client, task_queue=queue, workflows=[SecretWorkflow]):
        await eventually(is_listed)

    assert await listed(), "Temporal goes on listing it"
    assert not await listed(POLL_SECONDS + 1)


async def test_a_worker_is_well_while_its_own_host_polls(temporal_server: TemporalServer) -> None:
    queue = f"polled-{uuid.uuid4().hex}"
    client = await Client.connect(temporal_server.address)
    settings = HealthSettings.model_validate(
        {
            "temporal_address": temporal_server.address,
            "temporal_task_queue": queue,
            "livekit_api_secret": "s",
        }
    )
    with pytest.raises(NotPollingError):
        await check(settings, socket.gethostname())

    workflows = TemporalSessions(client, queue)

    async def polls() -> bool:
        return await workflows.pollers() == 1

    async with Worker(client, task_queue=queue, workflows=[SecretWorkflow]):
        await eventually(polls)
        await check(settings, socket.gethostname())
        with pytest.raises(NotPollingError):
            await check(settings, "nowhere")


@activity.defn(name="await_agent")
async def nothing() -> None:
    pass


async def test_a_worker_of_some_kinds_is_well_while_it_polls_for_these(
    temporal_server: TemporalServer,
) -> None:
    queue = f"polled-{uuid.uuid4().hex}"
    client = await Client.connect(temporal_server.address)
    settings = HealthSettings.model_validate(
        {
            "temporal_address": temporal_server.address,
            "temporal_task_queue": queue,
            "livekit_api_secret": "s",
            "everline_worker_slots": "sessions=0,presence=0",
        }
    )

    async def well() -> bool:
        try:
            await check(settings, socket.gethostname())
        except NotPollingError:
            return False
        return True

    assert not await well()
    async with Worker(client, task_queue=f"{queue}-joining", activities=[nothing]):
        await eventually(well)
