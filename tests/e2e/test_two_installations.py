"""Two installations on one LiveKit leave each other's calls alone."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from adapters.temporal.installation import TemporalInstallation
from domain.ids import SessionKey
from domain.sessions.rooms import room_metadata
from domain.sessions.session import Outcome, SessionState
from stack.layout.environment import machine_environment
from tests.harness.rig import Rig
from tests.servers import TemporalServer, free_port, start_temporal
from tests.waiting import eventually
from workflows.reaper import REAPER_ID

ROOT = Path(__file__).parents[2]


def environment(rig: Rig, temporal: TemporalServer, **further: str) -> dict[str, str]:
    """What a worker needs that shares nothing but LiveKit with the rig."""
    keys, urls = rig.stack.credentials, rig.stack.urls
    assert urls.livekit is not None
    return {
        **machine_environment(os.environ),
        "LIVEKIT_URL": urls.livekit,
        "LIVEKIT_API_KEY": keys.livekit_api_key,
        "LIVEKIT_API_SECRET": keys.livekit_api_secret,
        "TEMPORAL_ADDRESS": temporal.address,
        "EVERLINE_ENCRYPTION_KEYS": keys.encryption_keys,
        "EVERLINE_CALLBACK_SECRET": keys.callback_secret,
        "PORT": str(free_port()),
        **further,
    }


@asynccontextmanager
async def second_worker(
    env: dict[str, str], log: Path
) -> AsyncGenerator["subprocess.Popen[bytes]"]:
    """A Temporal worker of another installation."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once, output to a file
            [sys.executable, "-m", "worker.main"], cwd=ROOT, env=env, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def sweeps(client: Client) -> int:
    """How many sweeps of the reaper are complete."""
    query = f"WorkflowType = 'reaper' AND ExecutionStatus = '{_COMPLETED}'"
    return (await client.count_workflows(query)).count


_COMPLETED = WorkflowExecutionStatus.COMPLETED.name.title()


async def sweep(client: Client) -> None:
    """Have the reaper look, and wait until it has looked."""
    before = 0

    async def triggered() -> bool:
        nonlocal before
        try:
            before = await sweeps(client)
            await client.get_schedule_handle(REAPER_ID).trigger()
        except RPCError:  # its worker has not made it yet
            return False
        return True

    async def swept() -> bool:
        return await sweeps(client) > before

    await eventually(triggered, 60, "there is a reaper")
    await eventually(swept, 90, "the reaper has looked")


async def test_the_reaper_of_another_installation_ends_no_call(rig: Rig, tmp_path: Path) -> None:
    async with (
        start_temporal() as temporal,
        second_worker(environment(rig, temporal), tmp_path / "worker.log"),
        rig.call(limits={"report_grace": 30}) as call,
    ):
        await call.type("A table for two, please.", expect="table for two")
        other = await Client.connect(temporal.address)

        await sweep(other)

        answer = await call.type("My name is Carl.", expect="Carl", also="table for two")
        assert "table for two" in answer
        assert (await rig.client.status(call.session_id)).state is SessionState.LIVE
        await rig.client.end(call.session_id)
        closed = await rig.client.closed(call.session_id)
        assert closed.outcome is Outcome.COMPLETED, closed.timeline
        ids = {await TemporalInstallation(other, None).id(), rig.installation}
        assert len(ids) == 2


async def test_our_reaper_deletes_its_own_rooms_alone(rig: Rig) -> None:
    livekit = rig.rooms.livekit
    rooms = {
        "local.theirs": room_metadata(SessionKey("local", "theirs"), "another"),
        "local.unnamed": '{"org": "local", "session": "unnamed"}',
        "local.ours": room_metadata(SessionKey("local", "ours"), rig.installation),
    }
    for name, metadata in rooms.items():
        await livekit.create(name, metadata, 600, 600)

    await rig.histories.reap()

    async def ours_is_gone() -> bool:
        return not await livekit.list_rooms(["local.ours"])

    await eventually(ours_is_gone, 60, "the reaper has looked")
    left = {room.name for room in await livekit.list_rooms(list(rooms))}
    assert left == {"local.theirs", "local.unnamed"}
    health = (await rig.client.http.get("/health/agent")).json()["installations"]
    assert not health["ok"]
    assert "'local.unnamed'" in health["detail"]
    await livekit.delete("local.unnamed")
    health = (await rig.client.http.get("/health/agent")).json()["installations"]
    assert (health["ok"], "'another'" in health["detail"]) == (True, True)
    await livekit.delete("local.theirs")


async def test_a_worker_under_another_id_than_its_namespace_does_not_start(
    rig: Rig, tmp_path: Path
) -> None:
    async with start_temporal() as temporal:
        client = await Client.connect(temporal.address)
        await TemporalInstallation(client, "staging").id()
        env = environment(rig, temporal, EVERLINE_INSTALLATION="production")
        log = tmp_path / "worker.log"
        async with second_worker(env, log) as process:
            await eventually(lambda: process.poll() is not None, 60, "it has ended")
            assert process.returncode == 1
        said = log.read_text(encoding="utf-8")
    assert "'production'" in said
    assert "'staging'" in said
