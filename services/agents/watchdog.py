"""The watchdog: tells sessions that their agent is lost when its agent server falls silent.

What an agent server knows of its own jobs, it says itself. This is about servers that say nothing:
killed, hung, or cut off. Silence alone proves nothing, because the way that heartbeats take can be
broken as well. So at each look the watchdog first tries that way itself, and only the time in which
it was open counts; after an outage, each server gets its full time again. All times are durations
by the watchdog's own clock, whatever the clocks of API and agent servers say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from domain.agents.ports import AgentLosses, HeartbeatPath, SignsOfLife
from domain.agents.servers import AgentServer, JobTick
from domain.sessions.messages import agent_lost

log = structlog.get_logger()

LONGEST_GAP = 3.0
"""Seconds between two checks of the path; a longer gap counts as an outage."""


@dataclass(frozen=True)
class _Heard:
    stamp: datetime
    at: float


@dataclass
class Watchdog:
    """Checks all agent servers, about once a second."""

    signs: SignsOfLife
    path: HeartbeatPath
    losses: AgentLosses
    longest_silence: float
    """Seconds."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    _heard: dict[str, _Heard] = field(default_factory=dict[str, _Heard], init=False)
    _open_since: float = field(default=-LONGEST_GAP, init=False)
    _open_at: float = field(default=-LONGEST_GAP, init=False)

    async def look(self) -> list[str]:
        """Check once; returns the ids of the servers that were found dead.

        Raises:
            Unavailable: the path is broken, or MongoDB or Temporal does not answer. Nothing is
                concluded from that, and the next check continues.
        """
        await self.path.prove()
        proven_at = self.clock()
        stamps = await self.signs.last_heartbeats()
        if proven_at - self._open_at > LONGEST_GAP:
            self._open_since = proven_at
        self._open_at = proven_at
        self._update_heard(stamps)
        dead = [server_id for server_id in self._heard if self._is_dead(server_id)]
        for server_id in dead:
            await self._declare_dead(server_id)
        return dead

    def _update_heard(self, stamps: dict[str, datetime]) -> None:
        now = self.clock()
        known = self._heard
        self._heard = {
            server_id: known[server_id]
            if server_id in known and known[server_id].stamp == stamp
            else _Heard(stamp, now)
            for server_id, stamp in stamps.items()
        }

    def _is_dead(self, server_id: str) -> bool:
        heard_at = self._heard[server_id].at
        # Up to the last proof, not now: an outage may have begun since.
        return self._open_at - max(heard_at, self._open_since) >= self.longest_silence

    async def _declare_dead(self, server_id: str) -> None:
        heard = self._heard[server_id]
        server = await self.signs.server(server_id)
        if server is None or server.last_heartbeat != heard.stamp:
            return
        if server.jobs:
            await self._replace_agents(server)
        await self.signs.dealt_with(server_id, heard.stamp)
        # No worker checks it again before its next heartbeat.
        del self._heard[server_id]

    async def _replace_agents(self, server: AgentServer) -> None:
        log.warning("agent server is silent", server=server.server_id, jobs=len(server.jobs))
        # First make sure that the old agents stop if they are still alive.
        jobs = [job.job_id for job in server.jobs]
        await self.signs.condemn(server.server_id, jobs, datetime.now(UTC))
        for job in server.jobs:
            await self._tell(job)

    async def _tell(self, job: JobTick) -> None:
        if job.key is None or job.attempt is None:
            return
        reason = f"its agent server was silent for {self.longest_silence:g} s"
        await self.losses.tell_agent_is_lost(job.key, agent_lost(job.attempt, job.job_id, reason))
