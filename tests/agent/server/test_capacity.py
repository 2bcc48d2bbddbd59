"""All the places that an agent server promises can be used, and no more; LiveKit has its defaults.

Its `agents.target_load` is 0.7, and it drops a dispatch that finds no server, without a word.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from livekit import api
from livekit.protocol import agent_dispatch
from livekit.protocol import room as rooms
from livekit.protocol.models import ParticipantInfo

from stack.supervision.health import NotHealthyError
from tests.fakes.instant_agent import PID, knows_of
from tests.servers import LiveKitServer, ServerProcess
from tests.waiting import eventually

DROPPED = "failed to send job request"
"""What LiveKit logs of a dispatch that nobody takes."""
MOST_OVERTAKING = 10
"""Dispatches that LiveKit may drop before it has read that a place is free."""
JOIN_SECONDS = 60.0
"""A process for the agent may have to be started first, on a busy machine."""


class Fleet:
    """LiveKit, and the agent servers of one name."""

    def __init__(self, livekit: LiveKitServer, lk: api.LiveKitAPI, name: str) -> None:
        self._livekit = livekit
        self._lk = lk
        self._name = name
        self._rooms: list[str] = []

    @asynccontextmanager
    async def server(self, folder: Path, max_jobs: int) -> AsyncGenerator[ServerProcess]:
        """An agent server for the block, registered, with warm processes."""
        log = folder / f"{uuid.uuid4().hex}.log"
        log.touch()
        environment = {
            "PYTHONPATH": str(Path.cwd()),
            "LIVEKIT_URL": self._livekit.url,
            "LIVEKIT_API_KEY": self._livekit.api_key,
            "LIVEKIT_API_SECRET": self._livekit.api_secret,
            "AGENT_NAME": self._name,
            "EVERLINE_SPOOL_DIR": f"{log}.spool",
            "EVERLINE_MAX_JOBS": str(max_jobs),
        }
        words = [f"{name}={value}" for name, value in environment.items()]

        async def registered(since: float) -> None:
            if "registered worker" not in log.read_text():
                raise NotHealthyError("the agent server has not registered")

        process = ServerProcess(
            command=["env", *words, sys.executable, "-m", "tests.fakes.instant_agent"],
            check=registered,
            log=log,
        )
        try:
            await process.start()
            yield process
        finally:
            kill_with_its_jobs(process)

    async def dispatch(self) -> str:
        """Dispatch once into a room of its own; returns the room."""
        room = f"room-{uuid.uuid4().hex[:8]}"
        self._rooms.append(room)
        await self._lk.room.create_room(rooms.CreateRoomRequest(name=room, empty_timeout=600))
        await self._lk.agent_dispatch.create_dispatch(
            agent_dispatch.CreateAgentDispatchRequest(room=room, agent_name=self._name)
        )
        return room

    async def joined(self, room: str) -> None:
        """Wait until an agent is ACTIVE in the room."""

        async def active() -> bool:
            agents = await self.agents(room)
            return any(agent.state == ParticipantInfo.State.ACTIVE for agent in agents)

        await eventually(active, JOIN_SECONDS, f"an agent in {room}")

    async def dispatch_joins(self) -> bool:
        """Dispatch once, and wait until an agent is ACTIVE; False if LiveKit drops the dispatch."""
        dropped = self.dropped()
        asked = asyncio.create_task(self.joined(await self.dispatch()))
        await eventually(lambda: asked.done() or self.dropped() > dropped, JOIN_SECONDS)
        if not asked.done():
            asked.cancel()
            return False
        await asked
        return True

    async def agents(self, room: str) -> list[ParticipantInfo]:
        """Who is in a room."""
        request = rooms.ListParticipantsRequest(room=room)
        return list((await self._lk.room.list_participants(request)).participants)

    async def process(self, room: str) -> psutil.Process:
        """The process of the agent in a room, which names it there."""
        pids: list[str] = []

        async def named() -> bool:
            pids.extend(agent.attributes.get(PID, "") for agent in await self.agents(room))
            return any(pids)

        await eventually(named, JOIN_SECONDS, f"the agent in {room} names its process")
        return psutil.Process(int(next(filter(None, pids))))

    async def end(self, room: str) -> None:
        """End a call."""
        self._rooms.remove(room)
        await self._lk.room.delete_room(rooms.DeleteRoomRequest(room=room))

    async def end_all(self) -> None:
        """End all calls."""
        for room in list(self._rooms):
            await self.end(room)

    def dropped(self) -> int:
        """Dispatches to this name that LiveKit has dropped; every room has one to no name, too."""
        lines = self._livekit.process.log.read_text().splitlines()
        return sum(DROPPED in line and self._name in line for line in lines)


@pytest.fixture
async def fleet(livekit_server: LiveKitServer) -> AsyncGenerator[Fleet]:
    """A name of its own on the shared LiveKit."""
    keys = livekit_server
    async with api.LiveKitAPI(keys.api_url, keys.api_key, keys.api_secret) as lk:
        fleet = Fleet(livekit_server, lk, f"fleet-{uuid.uuid4().hex[:8]}")
        try:
            yield fleet
        finally:
            await fleet.end_all()


def kill_with_its_jobs(server: ServerProcess) -> None:
    """End an agent server and every process below it: a job outlives a killed server."""
    assert server.process is not None
    below = psutil.Process(server.process.pid).children(recursive=True)
    server.kill()
    for each in below:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def said(server: ServerProcess, event: str) -> int:
    """How often an agent server has logged this."""
    return server.log.read_text().count(event)


@pytest.mark.timeout(400)
async def test_ten_places_take_ten_calls_and_no_eleventh(fleet: Fleet, tmp_path: Path) -> None:
    async with fleet.server(tmp_path, max_jobs=10) as server:
        dropped = fleet.dropped()
        calls: list[str] = []
        for number in range(10):
            calls.append(await fleet.dispatch())
            await fleet.joined(calls[-1])
            known = knows_of(number + 1)
            await eventually(lambda known=known: said(server, known) > 0, 30, known)
        assert fleet.dropped() == dropped, "each came in with its one dispatch"

        refused = await fleet.dispatch()
        await eventually(lambda: fleet.dropped() == dropped + 1, 30, "LiveKit drops the eleventh")
        assert await fleet.agents(refused) == []

        await fleet.end(calls[0])
        await eventually(lambda: said(server, "agent_server_has_places") == 1, 60)
        # LiveKit knows of the place: this one is not dropped.
        await fleet.joined(await fleet.dispatch())


@pytest.mark.timeout(300)
async def test_calls_that_come_at_once_go_to_whoever_has_a_place(
    fleet: Fleet, tmp_path: Path
) -> None:
    async with (
        fleet.server(tmp_path, max_jobs=1),
        fleet.server(tmp_path, max_jobs=1),
    ):
        calls = await asyncio.gather(fleet.dispatch(), fleet.dispatch())
        await asyncio.gather(*(fleet.joined(call) for call in calls))


@pytest.mark.timeout(300)
async def test_the_place_of_a_killed_job_is_free_at_once(fleet: Fleet, tmp_path: Path) -> None:
    async with fleet.server(tmp_path, max_jobs=2) as server:
        calls = [await fleet.dispatch() for _ in range(2)]
        processes = [await fleet.process(call) for call in calls]
        dropped = fleet.dropped()

        processes[0].kill()

        await eventually(lambda: said(server, "agent_server_has_places") == 1, 30)
        # A dispatch may overtake the news on its way to LiveKit, but not for seconds.
        while not await fleet.dispatch_joins():
            assert fleet.dropped() - dropped <= MOST_OVERTAKING
