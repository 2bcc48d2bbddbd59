"""Temporal's own time decides about its polls and waits, whatever this machine's clock says."""

import socket
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from adapters.temporal.clock import TemporalClock
from adapters.temporal.probe import TemporalProbe
from adapters.temporal.sessions import TemporalSessions
from tests.adapters.temporal.secret_workflow import SecretWorkflow
from tests.servers import TemporalServer, free_port
from tests.waiting import eventually
from worker.health import HealthSettings, NotPollingError, check

REAL = time.time


def skewed(seconds: float) -> Callable[[], float]:
    """The clock of a process that is so many seconds ahead."""
    return lambda: REAL() + seconds


@pytest.mark.parametrize("mine", [0.0, 600.0, -600.0])
async def test_it_tells_its_time(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch, mine: float
) -> None:
    client = await Client.connect(temporal_server.address)
    monkeypatch.setattr("time.time", skewed(mine))

    clock = TemporalClock(TemporalProbe(client))

    assert await clock.ahead() == pytest.approx(-mine, abs=5)
    assert abs(await clock.now() - datetime.fromtimestamp(REAL(), UTC)) < timedelta(seconds=5)


async def test_without_an_answer_it_is_this_machines_time() -> None:
    client = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True)

    clock = TemporalClock(TemporalProbe(client))

    assert await clock.ahead() is None
    assert abs(await clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("mine", [600.0, -600.0])
async def test_a_worker_that_polls_is_found_by_any_clock(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch, mine: float
) -> None:
    queue = f"polled-{uuid.uuid4().hex}"
    client = await Client.connect(temporal_server.address)
    settings = HealthSettings.model_validate(
        {
            "temporal_address": temporal_server.address,
            "temporal_task_queue": queue,
            "livekit_api_secret": "secret",
            "everline_encryption_keys": f"k1:{'A' * 43}=",
        }
    )
    workflows = TemporalSessions(client, queue)

    async def polls() -> bool:
        return await workflows.pollers() == 1

    async with Worker(client, task_queue=queue, workflows=[SecretWorkflow]):
        await eventually(polls)
        monkeypatch.setattr("time.time", skewed(mine))
        assert await TemporalSessions(client, queue).pollers() == 1
        await check(settings, socket.gethostname())
        with pytest.raises(NotPollingError):
            await check(settings, "nowhere")
