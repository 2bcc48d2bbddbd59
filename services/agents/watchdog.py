"""The watchdog: tells sessions that their agent is lost when its agent server falls silent.

An agent server reports lost jobs itself. The watchdog is for servers that report nothing because
they were killed, hang, or are cut off. Silence alone proves nothing, because the path of heartbeats
may be broken as well. So each check first proves that path, and only time in which it was open
counts. After an outage, each server gets some seconds again: agent servers try again every second
while they cannot deliver a heartbeat. All times are durations by the watchdog's own clock, whatever
the clocks of API and agent servers say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from domain.agents.ports import AgentLosses, HeartbeatPath, SignsOfLife
from domain.agents.servers import LostJob
from services.agents.losses import LostJobs

log = structlog.get_logger()

LONGEST_GAP = 3.0
"""Seconds between two checks of the path; a longer gap counts as an outage."""

TELL_SECONDS = 4.0
"""How long one check may tell sessions of lost agents; the next check continues."""
SHORTEST_RETURN = 4.0
RETURN_SHARE = 2 / 3
"""Of the longest silence: how long a server may be silent after an outage, but no less than
`SHORTEST_RETURN` seconds. A heartbeat takes 3 s at most, and the next one then follows at once."""

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
    _failed: bool = field(default=False, init=False)
    """Whether the last check was impossible."""
    _after_outage: bool = field(default=False, init=False)
    """Whether the path was broken before `_open_since`; else nobody checked it."""

    def __post_init__(self) -> None:
        self._lost_jobs = LostJobs(self.losses.tell_agent_is_lost, TELL_SECONDS)

    async def look(self) -> list[str]:
        """Check once; returns the ids of the servers that were found dead.

        Raises:
            Unavailable: the path is broken, or MongoDB or Temporal does not answer. Nothing is
                concluded from that, and the next check continues.
        """
        failed, self._failed = self._failed, True
        await self.path.prove()
        proven_at = self.clock()
        stamps = await self.signs.last_heartbeats()
        self._failed = False
        if proven_at - self._open_at > LONGEST_GAP:
            self._open_since, self._after_outage = proven_at, failed
        self._open_at = proven_at
        now = self.clock()
        self._heard = {one: self._heard.get(one, now) for one in stamps.items()}
        # Measured to the last proof, not to now: an outage may have begun since.
        dead = [
            one
            for one, heard_at in self._heard.items()
            if self._open_at - max(heard_at, self._open_since) >= self._patience(heard_at)
        ]
        if dead:
            await self._declare_dead(dead)
        return [server_id for server_id, _ in dead]

    def _patience(self, heard_at: float) -> float:
        if self._after_outage and heard_at < self._open_since:
            return max(self.longest_silence * RETURN_SHARE, SHORTEST_RETURN)
        return self.longest_silence

    async def _declare_dead(self, dead: Sequence[_Heartbeat]) -> None:
        lost: list[LostJob] = []
        silent: list[_Heartbeat] = []
        for server_id, stamp in dead:
            server = await self.signs.server(server_id)
            if server is None or server.last_heartbeat != stamp:
                continue
            silent.append((server_id, stamp))
            if server.jobs:
                log.warning("agent server is silent", server=server_id, jobs=len(server.jobs))
                # First make sure that the old agents stop if they are still alive.
                jobs = [job.job_id for job in server.jobs]
                await self.signs.condemn(server_id, jobs, datetime.now(UTC))
            reason = "its agent server is silent"
            lost += (
                LostJob(
                    job_id=job.job_id,
                    org=job.org,
                    session_id=job.session_id,
                    attempt=job.attempt,
                    reason=reason,
                    unanswered=job.unanswered,
                )
                for job in server.jobs
            )
        await self._lost_jobs.tell(lost)
        for server_id, stamp in silent:
            await self.signs.dealt_with(server_id, stamp)
            # No worker checks it again before its next heartbeat.
            del self._heard[server_id, stamp]
