"""Places on agent servers: a session has its agent dispatched only once it holds one.

A place is room for one call. A session that finds none waits in a queue, which is fair between
orgs: next is a session of the org that holds the fewest places.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel

from domain.agents.servers import AgentServer, is_alive, is_fresh, latest
from domain.ids import SessionKey

PACE_WITHIN = timedelta(minutes=5)
"""How long a released place says something about how soon the next one is released."""

SHORTEST_SPAN = 30.0
"""Seconds over which releases are counted at least."""


class Claim(BaseModel):
    """What a session has of the agent servers of a name."""

    agent_name: str
    org: str
    session_id: str
    claimed_at: datetime
    """When it entered the queue, or claimed its place last."""

    @property
    def key(self) -> SessionKey:
        """The session that has it."""
        return SessionKey(self.org, self.session_id)


class Place(Claim):
    """One place, held by a session until its call is over."""

    number: int


class Waiting(Claim):
    """A session in the queue for a place."""


class PlaceState(StrEnum):
    """Whether a session that starts holds a place."""

    RESERVED = "reserved"
    QUEUED = "queued"


@dataclass(frozen=True)
class Capacity:
    """How many calls the agent servers of one name can take.

    Attributes:
        size: all places, of which `free` are free and held by no session.
        most_waiting: how long the queue may be while nobody knows how soon places are released.
    """

    size: int
    free: int
    most_waiting: int


def capacity(
    servers: Sequence[AgentServer], agent_name: str, places: Sequence[Place], now: datetime
) -> Capacity | None:
    """The capacity of the agent servers of a name, whose sessions hold these places.

    A place is in use if its session's agent runs on one of the servers; all other places that are
    held are about to be used, and are taken off what the servers report as free. A server that has
    missed a heartbeat may be gone: it has nothing free, and its sessions may soon need their places
    for other agents.

    Args:
        servers: those that were heard of lately.
        agent_name: LiveKit's agent name.
        places: all places that are held under this name.
        now: by the clock that stamped the heartbeats.

    Returns:
        None if no such server takes calls now: there may be external agents, which send no
        heartbeats, or another server may come.
    """
    known = [server for server in servers if server.agent_name == agent_name]
    now = latest(known, now)
    alive = [server for server in known if is_alive(server, now)]
    serving = [server for server in alive if not server.draining]
    if not serving:
        return None
    fresh = [server for server in alive if is_fresh(server, now)]
    in_use = len(in_use_by(fresh, places))
    free = sum(server.places for server in fresh)
    return Capacity(
        size=sum(server.places + len(server.jobs) for server in alive),
        free=max(free + in_use - len(places), 0),
        most_waiting=sum(server.size for server in serving),
    )


class AgentLoad(BaseModel):
    """How full the agent servers of one name are."""

    size: int
    """Calls that they can take together."""
    running: int
    """Calls whose agents run now."""
    reserved: int
    """Places that sessions hold, whether or not their agents run yet."""
    queued: int
    """Sessions that wait for a place."""
    oldest_wait_seconds: float | None
    """How long the first of them has waited; null if none waits."""


def load_of(
    servers: Sequence[AgentServer],
    agent_name: str,
    places: Sequence[Place],
    queue: Sequence[Waiting],
    now: datetime,
) -> AgentLoad:
    """The load of the agent servers of a name, from what `capacity` takes as well."""
    there = capacity(servers, agent_name, places, now)
    alive = [one for one in servers if one.agent_name == agent_name and is_alive(one, now)]
    since = min((one.claimed_at for one in queue), default=None)
    return AgentLoad(
        size=there.size if there else 0,
        running=sum(len(server.jobs) for server in alive),
        reserved=len(places),
        queued=len(queue),
        oldest_wait_seconds=round((now - since).total_seconds(), 3) if since else None,
    )


def in_use_by(servers: Sequence[AgentServer], places: Sequence[Place]) -> list[Place]:
    """The places whose sessions' agents run on one of the servers."""
    running = {job.key for server in servers for job in server.jobs}
    return [place for place in places if place.key in running]


def in_turn(queue: Sequence[Waiting], places: Sequence[Place]) -> list[Waiting]:
    """The queue in the order in which it is served."""
    held = Counter(place.org for place in places)
    turns: list[tuple[int, datetime, str, Waiting]] = []
    for waiting in sorted(queue, key=lambda waiting: (waiting.claimed_at, waiting.session_id)):
        # As many places as its org will hold before it, if those ahead of it get theirs.
        turns.append((held[waiting.org], waiting.claimed_at, waiting.session_id, waiting))
        held[waiting.org] += 1
    return [waiting for *_, waiting in sorted(turns, key=lambda turn: turn[:3])]


def expected_wait(position: int, releases: Sequence[datetime], now: datetime) -> float | None:
    """Seconds until a session at this position (from 1) may get a place.

    Args:
        position: in the queue; 0 or less if there is a free place for it.
        releases: when the last places were released, the oldest first.
        now: by the clock of these times.

    Returns:
        None if too few places were released lately to say.
    """
    if position <= 0:
        return 0.0
    recent = [at for at in releases if timedelta() <= now - at <= PACE_WITHIN]
    if len(recent) < 2:
        return None
    # Calls that end together say little about the next ones.
    seconds = max((now - recent[0]).total_seconds(), SHORTEST_SPAN)
    return math.ceil(seconds / len(recent) * position)
