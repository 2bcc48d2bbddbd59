"""Heartbeats of agent servers: names, capacity, running and lost jobs.

An agent server reports only durations by its own clock, and numbers its heartbeats; the API notes
their arrival. So nothing is concluded from clocks of different machines, except that they differ.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from domain.ids import SessionKey
from domain.json_model import JsonModel

SILENT_AFTER = timedelta(seconds=10)
"""Heartbeats come every two seconds; a server silent for longer counts as unavailable."""
STALE_AFTER = timedelta(seconds=4)
"""A server that has missed a heartbeat may be gone: it gets no more calls, and those that it runs
may need places elsewhere."""
MOST_JOBS = 2_000
"""Calls that one server is believed to take, whatever it reports: as many as a heartbeat names."""
MORE_PLACES = "start another agent server, or raise EVERLINE_MAX_JOBS"
"""The cure if all agent servers are full."""


class JobRef(JsonModel):
    """A job and its attempt; a job that is not Everline's names no session."""

    job_id: str = Field(max_length=200)
    org: str | None = None
    session_id: str | None = None
    attempt: int | None = None

    @property
    def key(self) -> SessionKey | None:
        """The session that the job is for."""
        return SessionKey(self.org, self.session_id) if self.org and self.session_id else None


class JobTick(JobRef):
    """One running job of an agent server."""

    tick_age: float | None = Field(default=None, ge=0)
    """Seconds since the job's event loop last answered; None before its first answer."""
    caller: str | None = Field(default=None, max_length=100)
    """LiveKit's sid of the caller's connection as the agent sees it, `""` while the caller is not
    in the room; None while the agent is not connected, and from older agent workers."""
    unanswered: bool = False
    """Whether the caller speaks, or has spoken and the agent has not begun to answer."""


class LostJob(JobRef):
    """A job that ended unexpectedly: killed, crashed, or killed because it hung."""

    reason: str = Field(max_length=300)
    unanswered: bool = False
    """As in the job's last tick; see `JobTick.unanswered`."""
    undelivered_turn: str | None = Field(default=None, max_length=200)
    """Item id of its last turn that waits in the server's spool; None if there is none."""


class Heartbeat(JsonModel):
    """What an agent server reports every two seconds, and at once when it has lost a job."""

    server_id: str = Field(min_length=1, max_length=200)
    number: int = Field(default=0, ge=0)
    """Rises with each heartbeat of a server; the highest is the last. 0 from servers without."""
    agent_name: str = Field(max_length=200)
    max_jobs: int = Field(ge=0)
    free: int | None = Field(default=None, ge=0)
    """Calls that it would accept now; None from servers that do not report it."""
    draining: bool = False
    version: str | None = None
    spool: str | None = Field(default=None, max_length=64)
    """Id of its spool's disk, from which recordings can still be uploaded."""
    jobs: list[JobTick] = Field(default=[], max_length=MOST_JOBS)
    lost: list[LostJob] = Field(default=[], max_length=MOST_JOBS)
    """Jobs whose loss the API has not acknowledged yet."""
    sent_at: float | None = Field(default=None, ge=0, lt=1e11)
    """Unix time by the server's own clock, to tell whether that differs; None from older ones."""


class HeartbeatAnswer(BaseModel):
    """What the API answers to a heartbeat."""

    accepted: bool
    """Required: a proxy that answers `{}` has not stored the heartbeat."""
    stop: list[str] = []
    """Ids of jobs whose calls moved to other agents while this server was silent."""


class AgentServer(BaseModel):
    """An agent server as of its last heartbeat."""

    server_id: str
    agent_name: str
    max_jobs: int
    free: int | None = None
    draining: bool
    version: str | None = None
    spool: str | None = None
    jobs: list[JobTick]
    last_heartbeat: datetime
    sent_at: float | None = None

    @property
    def clock_ahead(self) -> float | None:
        """Seconds by which its clock is ahead of the API's; None if it does not tell its time."""
        return None if self.sent_at is None else self.sent_at - self.last_heartbeat.timestamp()

    @property
    def size(self) -> int:
        """Calls that it can take at the same time."""
        return min(self.max_jobs, MOST_JOBS)

    @property
    def places(self) -> int:
        """Calls that it would accept now: never more than its size leaves."""
        if self.draining:
            return 0
        left = max(self.size - len(self.jobs), 0)
        return left if self.free is None else min(self.free, left)


def is_alive(server: AgentServer, now: datetime) -> bool:
    """Whether it sends heartbeats, by the clock that stamps them."""
    return now - server.last_heartbeat <= SILENT_AFTER


def is_fresh(server: AgentServer, now: datetime) -> bool:
    """Whether it has missed no heartbeat, by the clock that stamps them."""
    return now - server.last_heartbeat <= STALE_AFTER


def latest(servers: Iterable[AgentServer], now: datetime) -> datetime:
    """`now`, or the time of the last heartbeat if that is later.

    The API that stored it may have a clock that is ahead of this machine's: by that clock, servers
    have been silent for longer than by this one.
    """
    return max([now, *(server.last_heartbeat for server in servers)])
