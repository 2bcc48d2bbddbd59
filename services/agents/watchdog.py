"""The watchdog: tells sessions that their agent is lost when its agent server falls silent.

An agent server reports lost jobs itself. The watchdog is for servers that report nothing because
they were killed, hang, or are cut off. Silence alone proves nothing, because the path of heartbeats
may be broken as well. So each check first proves that path, and only time in which it was open
counts; after an outage, each server gets its full time again. All times are durations by the
watchdog's own clock, whatever the clocks of API and agent servers say.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from domain.agents.ports import AgentLosses, HeartbeatPath, SignsOfLife
from domain.sessions.messages import agent_lost

log = structlog.get_logger()

LONGEST_GAP = 3.0
"""Seconds between two checks of the path; a longer gap counts as an outage."""

_Heartbeat = tuple[str, datetime]
"""A server's id, and the API's time of its heartbeat."""


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
    _heard: dict[_Heartbeat, float] = field(default_factory=dict[_Heartbeat, float], init=False)
    """Each server's last heartbeat, and when this process first saw it."""
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
        now = self.clock()
        self._heard = {one: self._heard.get(one, now) for one in stamps.items()}
        # Measured to the last proof, not to now: an outage may have begun since.
        dead = [
            one
            for one, heard_at in self._heard.items()
            if self._open_at - max(heard_at, self._open_since) >= self.longest_silence
        ]
        for server_id, stamp in dead:
            await self._declare_dead(server_id, stamp)
        return [server_id for server_id, _ in dead]

    async def _declare_dead(self, server_id: str, stamp: datetime) -> None:
        server = await self.signs.server(server_id)
        if server is None or server.last_heartbeat != stamp:
            return
        if server.jobs:
            log.warning("agent server is silent", server=server_id, jobs=len(server.jobs))
            # First make sure that the old agents stop if they are still alive.
            jobs = [job.job_id for job in server.jobs]
            await self.signs.condemn(server_id, jobs, datetime.now(UTC))
        reason = f"its agent server was silent for {self.longest_silence:g} s"
        for job in server.jobs:
            if job.key and job.attempt is not None:
                # Meanwhile, the caller may have spoken to nobody.
                loss = agent_lost(job.attempt, job.job_id, reason, unanswered=True)
                await self.losses.tell_agent_is_lost(job.key, loss)
        await self.signs.dealt_with(server_id, stamp)
        # No worker checks it again before its next heartbeat.
        del self._heard[server_id, stamp]
