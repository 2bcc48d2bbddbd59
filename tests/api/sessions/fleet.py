"""Agent servers of a few places in the house, the API that admits sessions to them, and its queue.

LiveKit is in memory; Temporal, MongoDB and everything of Everline's are real.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from adapters.temporal.sessions import TemporalSessions
from domain.agents.servers import STALE_AFTER, Heartbeat, JobTick
from domain.ids import SessionKey
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import agent_lost
from domain.sessions.ports import Participant
from domain.sessions.session import SessionState, SessionStatus
from services.access.org_quota import OrgQuota
from services.agents.admission import Admission
from services.agents.queue import serving_queue
from tests.api.house import House, Tenant, unique
from tests.fakes.agents import Crew, Lines, Plays
from tests.fakes.rooms import Sent
from tests.invariants import require_places_balance
from tests.waiting import eventually

BEAT_SECONDS = 0.1
AHEAD = timedelta(seconds=60)
LIMITS: dict[str, float] = {
    **{"join_timeout": 60, "join_attempts": 1, "caller_wait": 600, "report_grace": 20},
    **{"summary_wait": 0, "queue_seconds": 600},
}


@dataclass
class Server:
    """One agent server: its size, and the jobs that it runs, with the rooms of their agents."""

    size: int
    draining: bool = False
    jobs: dict[str, JobTick] = field(default_factory=dict[str, JobTick])
    beats: int = 0


class Fleet:
    """The agent servers of one name, as LiveKit and the API see them.

    Attributes:
        dropped: the rooms of dispatches that LiveKit dropped, because no server had a place.
        most: how many jobs ran at the same time.
    """

    def __init__(self, house: House, size: int) -> None:
        self.house = house
        self.name = unique("fleet")
        self.servers = {"one": Server(size)} if size else {}
        self.sessions = TemporalSessions(house.temporal, house.settings.temporal_task_queue)
        self.plays = Plays()
        self.dropped: list[str] = []
        self.most = 0
        self.app: Any = None
        self._crews: dict[str, Crew] = {}
        self._dead: dict[str, JobTick] = {}

    # ── LiveKit's side ───────────────────────────────────────────────────────────────────────────

    def on_dispatch(self, room: str, dispatch_id: str, metadata: str) -> None:
        """LiveKit offers the job to a server with a place; without one it is dropped."""
        content = json.loads(metadata)
        key = SessionKey(content["everline"]["org"], content["session_id"])
        takes = (one for one in self.servers.values() if self._free(one) > 0)
        server = next(takes, None)
        if server is None:
            self.dropped.append(room)
            return
        attempt = content["everline"]["attempt"]
        job = JobTick(job_id=dispatch_id, attempt=attempt, **key._asdict())
        server.jobs[room] = job
        self.most = max(self.most, sum(len(one.jobs) for one in self.servers.values()))
        if room not in self._crews:
            lines = Lines(
                claim=lambda claim: self.sessions.claim(key, claim),
                failed=lambda failure: self._tell(key, failure),
                report=lambda report: self._tell(key, report),
            )
            self._crews[room] = Crew(self.house.rooms, lines, [self.plays])
        self._crews[room].on_dispatch(room, dispatch_id, metadata)

    def on_data(self, room: str, sent: Sent) -> None:
        """A message reaches an agent."""
        if room in self._crews:
            self._crews[room].on_data(room, sent)

    def on_removed(self, room: str, participant: Participant) -> None:
        """An agent is removed from its room."""
        if room in self._crews and participant.kind == "agent":
            self._crews[room].on_removed(room, participant)

    async def _tell(self, key: SessionKey, message: Any) -> None:
        await self.sessions.signal(key, message)

    def _free(self, server: Server) -> int:
        return 0 if server.draining else max(server.size - len(server.jobs), 0)

    # ── heartbeats ───────────────────────────────────────────────────────────────────────────────

    async def beat_forever(self) -> None:
        """All servers report, and have an ended agent's place again."""
        while True:
            for name, server in list(self.servers.items()):
                await self.beat(name, server)
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self, name: str, server: Server) -> None:
        """One server reports."""
        for room in list(server.jobs):
            if not self.agents(room) and self._crews[room].idle:
                del server.jobs[room]
        server.beats += 1
        heartbeat = Heartbeat(
            server_id=f"{self.name}:{name}",
            number=server.beats,
            agent_name=self.name,
            max_jobs=server.size,
            free=self._free(server),
            draining=server.draining,
            jobs=list(server.jobs.values()),
        )
        # By a clock that is ahead, so that nobody seems to be silent when this machine stalls.
        await self.house.archive.agent_servers.record(heartbeat, datetime.now(UTC) + AHEAD)

    async def beats(self, name: str, more: int = 2) -> None:
        """Wait until a server has reported again: at least once with what it has now."""
        server = self.servers[name]
        before = server.beats
        await eventually(lambda: server.beats >= before + more)

    async def resize(self, size: int) -> None:
        """Give the first server another size."""
        self.servers["one"].size = size
        await self.beats("one")

    async def lose(self, room: str) -> None:
        """The agent of a room dies, and its server says so."""
        server = next(server for server in self.servers.values() if room in server.jobs)
        # Its place is free before anybody is told.
        job = server.jobs.pop(room)
        await self._tell_loss(room, job, "its process was killed")

    async def kill(self, name: str) -> None:
        """A server dies with its agents; wait until heartbeats of it are missed."""
        server = self.servers.pop(name)
        self._dead |= server.jobs
        others = [(one, one.beats) for one in self.servers.values()]
        died = time.monotonic()

        def has_missed_heartbeats() -> bool:
            late = time.monotonic() - died > STALE_AFTER.total_seconds()
            return late and all(one.beats > before for one, before in others)

        await eventually(has_missed_heartbeats)

    async def tell_losses(self) -> None:
        """The watchdog tells the sessions of dead servers."""
        for room, job in self._dead.items():
            await self._tell_loss(room, job, "its server is silent")
        self._dead.clear()

    async def _tell_loss(self, room: str, job: JobTick, reason: str) -> None:
        assert job.key
        assert job.attempt
        for agent in self.agents(room):
            self.house.rooms.leave(room, agent.identity)
            loss = agent_lost(job.attempt, f"AJ_{agent.identity}", reason)
            await self._tell(job.key, loss)

    def agents(self, room: str) -> list[Participant]:
        """The agents in a room."""
        found = self.house.rooms.rooms.get(room)
        return [p for p in found.participants.values() if p.kind == "agent"] if found else []

    async def finish(self, room: str) -> None:
        """The agent of a room ends the call, and reports."""
        await self._crews[room].report(1, ReportEnd.AGENT_ENDED)
        for agent in self.agents(room):
            self.house.rooms.leave(room, agent.identity)

    # ── clients ──────────────────────────────────────────────────────────────────────────────────

    async def tenant(self, org: str | None = None) -> "Client":
        """A client of an org."""
        org = org or unique("acme")
        return Client(self, Tenant(self.app, await self.house.key(org)), org)

    async def load(self) -> dict[str, Any]:
        """What `/health/agent` says of the servers."""
        return (await Tenant(self.app, None).http.get("/health/agent")).json()["load"]

    async def balances(self) -> None:
        """Wait until every place is with a session that uses it."""
        queue = self.house.settings.temporal_task_queue
        await require_places_balance(self.house.archive, self.house.temporal, queue)

    async def forget(self) -> None:
        """Take what terminated sessions have left, so that it is not in the way of other tests."""
        places = self.house.archive.places
        for claim in (*await places.of_name(self.name), *await places.queue()):
            if claim.agent_name == self.name:
                await places.free(claim.key)

    async def is_empty(self) -> None:
        """Wait until nobody holds a place or waits for one."""

        async def empty() -> bool:
            places = self.house.archive.places
            queue = [one for one in await places.queue() if one.agent_name == self.name]
            return not queue and not await places.of_name(self.name)

        await eventually(empty, 60, "nobody holds a place or waits")


@dataclass
class Client:
    """What one org does."""

    fleet: Fleet
    tenant: Tenant
    org: str

    @property
    def http(self) -> httpx.AsyncClient:
        """Its HTTP client."""
        return self.tenant.http

    def key(self, name: str) -> SessionKey:
        """A session's key."""
        return SessionKey(self.org, name)

    async def start(self, name: str, *, wait: str = "accepted", **limits: float) -> httpx.Response:
        """Start a session; whatever is answered."""
        return await self.tenant.start(name, wait=wait, limits=LIMITS | limits)

    async def live(self, name: str, **limits: float) -> None:
        """A session whose agent is in the room."""
        answer = await self.start(name, wait="accepted", **limits)
        assert answer.status_code == 202, answer.text
        await self.until(name, state=SessionState.LIVE)

    async def status(self, name: str) -> SessionStatus:
        """What a session says of itself."""
        answer = await self.http.get(f"/v1/sessions/{name}")
        answer.raise_for_status()
        return SessionStatus.model_validate(answer.json())

    async def until(self, name: str, **wanted: Any) -> SessionStatus:
        """Wait until fields of a session's status have these values."""
        seen: list[SessionStatus] = []

        async def reached() -> bool:
            seen.append(await self.status(name))
            return all(getattr(seen[-1], field) == value for field, value in wanted.items())

        await eventually(reached, 60, f"{name}: {wanted}")
        return seen[-1]

    async def end(self, name: str) -> None:
        """Ask for a session's end."""
        await self.tenant.end(name)


NO_QUOTA = OrgQuota()


@asynccontextmanager
async def fleet_of(
    house: House, size: int, *, quota: OrgQuota = NO_QUOTA, serving: bool = True
) -> AsyncGenerator[Fleet]:
    """A fleet for a block, whose queue is served unless a test does that."""
    fleet = Fleet(house, size)
    rooms = house.rooms
    before = rooms.on_dispatch, rooms.on_data, rooms.on_removed
    rooms.on_dispatch, rooms.on_data, rooms.on_removed = (
        *(fleet.on_dispatch, fleet.on_data, fleet.on_removed),
    )
    async with AsyncExitStack() as stack:
        beating = asyncio.create_task(fleet.beat_forever())
        stack.callback(beating.cancel)
        admission = admission_of(house)
        if serving:
            lease = house.archive.lease(f"queue of {fleet.name}")
            await stack.enter_async_context(serving_queue(admission, lease))
        changed = {"admission": admission, "agent_name": fleet.name, "quota": quota}
        fleet.app = await stack.enter_async_context(
            house.open(agent_servers=house.archive.agent_servers, **changed)
        )
        try:
            if size:
                await fleet.beats("one")
            yield fleet
        finally:
            await house.quiet()
            await fleet.forget()
            rooms.on_dispatch, rooms.on_data, rooms.on_removed = before


def admission_of(house: House) -> Admission:
    """What one API process admits sessions with."""
    there = house.archive
    sessions = TemporalSessions(house.temporal, house.settings.temporal_task_queue)
    # With time enough for a machine that stalls.
    return Admission(there.agent_servers, there.places, sessions, house.listing, admit_seconds=60)
