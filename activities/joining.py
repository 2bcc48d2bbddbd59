"""Prove that the agent is in the room."""

import asyncio
import logging
import time
from dataclasses import asdict
from datetime import timedelta

import structlog
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.dispatch import JoinCounters, attempt_of, attempt_of_metadata
from activities.shares import UNLIMITED, OrgShares
from domain.errors import EverlineError, Unavailable
from domain.sessions.ports import NEVER_CALLERS, ON_BEHALF, Dispatch, Participant, Rooms

log = structlog.get_logger()

AGENT_NOT_SEEN = "agent_not_seen"
CHECKED_LATER = "agent_checked_later"
AGENT_NAMES = ("lk.agent.name", "lk.agent_name")
"""The attributes in which LiveKit's SDK, and its server, write an agent's name."""
REPEATED = 3
"""So many dispatches in a row without an agent are logged as errors, for alerts."""
QUICKEST_POLL, SLOWEST_POLL = 0.1, 1.0
"""Seconds between two polls; a warm agent is in the room within 0.3 s."""
FIRST_HEARTBEAT = 2.0
"""Seconds until the first heartbeat: Temporal Cloud bills each, and most agents come sooner."""
SECOND_LOOK = 1.0
"""Seconds until an agent that a list does not have is looked for again."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 16.0
"""Seconds without a slot between two checks, once the org's share of the slots is exceeded."""
POLL_SHARE = 0.15
"""Of the time already waited: what a poll may add to it."""


class LookForAgent(BaseModel):
    """The agent to look for."""

    livekit_room: str
    attempt: int


class AwaitAgent(LookForAgent):
    """The agent to look for, and for how many seconds."""

    org: str = ""
    """Whose share of the slots it uses; orders of older releases name none."""
    timeout: float


class Caller(BaseModel):
    """A caller who was seen in the room."""

    identity: str
    sid: str


class AgentSeen(BaseModel):
    """The agent participant is ACTIVE."""

    identity: str
    foreign: bool
    """It carries no attempt, so it is not our agent worker."""
    callers: list[Caller]
    strays: list[str] = []
    """Agents in the room that belong to no attempt."""
    strays_removed: bool = False
    """Whether they were removed from it."""


class JoinActivities:
    """A successful dispatch proves nothing; only the participant in the room counts."""

    def __init__(
        self,
        rooms: Rooms,
        counters: JoinCounters | None = None,
        *,
        remove_strays: bool = False,
        shares: OrgShares = UNLIMITED,
    ) -> None:
        self._rooms = rooms
        self._counters = counters or JoinCounters()
        self._remove_strays = remove_strays
        self._shares = shares

    @activity.defn
    async def await_agent(self, order: AwaitAgent) -> AgentSeen:
        """Poll the room's participants until this attempt's agent is ACTIVE.

        The time counts from the first try, so that a worker's crash does not prolong it. While the
        org has exceeded its share of the slots, each try checks once and Temporal repeats it: so
        the other orgs get their slots, and a retry writes no history.

        Raises:
            ApplicationError: `agent_not_seen`, with what was seen instead; or `agent_checked_later`
                for another try.
        """
        with self._shares.slot(order.org):
            return await self._until_seen(order)

    async def _until_seen(self, order: AwaitAgent) -> AgentSeen:
        info = activity.info()
        # Both are Temporal's times; from here on this machine's clock only measures a duration.
        earlier = (info.started_time - info.scheduled_time).total_seconds()
        began = time.monotonic() - earlier
        seen: list[Participant] = []
        trouble = ""
        while True:
            if time.monotonic() - began >= FIRST_HEARTBEAT:
                activity.heartbeat()
            try:
                seen = await self._rooms.participants(order.livekit_room)
                agent = await self._agent_of(order, seen)
                trouble = ""
            except Unavailable as error:
                agent, trouble = None, f"; {error.message}"
            self._log("join check", order, seen, agent)
            if agent:
                self._counters.count_joined()
                counters = asdict(self._counters)
                self._log("agent joined", order, seen, agent, counters=counters)
                return await self._seen(order, agent, seen)
            waited = time.monotonic() - began
            if waited >= order.timeout:
                break
            if self._shares.exceeded_by(order.org):
                raise _checked_later(order.timeout - waited)
            pause = POLL_SHARE * waited
            await asyncio.sleep(min(max(pause, QUICKEST_POLL), SLOWEST_POLL))
        names = ", ".join(f"{p.identity} ({p.kind})" for p in seen) or "nobody"
        self._counters.count_not_joined()
        in_a_row = self._counters.not_joined_in_a_row
        level = logging.ERROR if in_a_row >= REPEATED else logging.WARNING
        event = "agent dispatch succeeded but agent did not join"
        self._log(event, order, seen, None, level, counters=asdict(self._counters))
        raise ApplicationError(
            f"no agent within {order.timeout:g} s; seen at {self._rooms.api_url}: {names}{trouble}",
            type=AGENT_NOT_SEEN,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )

    @activity.defn
    async def look_for_agent(self, order: LookForAgent) -> AgentSeen | None:
        """Whether this attempt's agent is ACTIVE in the room; None only after a second check.

        Raises:
            Unavailable: LiveKit does not answer.
        """
        for pause in (SECOND_LOOK, 0):
            seen = await self._rooms.participants(order.livekit_room)
            agent = await self._agent_of(order, seen)
            self._log("agent check", order, seen, agent)
            if agent:
                return await self._seen(order, agent, seen)
            await asyncio.sleep(pause)
        return None

    async def _agent_of(self, order: LookForAgent, seen: list[Participant]) -> Participant | None:
        """The agent that carries the attempt, else the one that the attempt's dispatch has sent.

        Any other agent proves nothing: LiveKit sends one without a name into every room.
        """
        agents = _agents_among(seen)
        ours = next((agent for agent in agents if attempt_of(agent) == order.attempt), None)
        external = [agent for agent in agents if attempt_of(agent) is None]
        if ours or not external:
            return ours
        for dispatch in await self._rooms.dispatches(order.livekit_room):
            named = attempt_of_metadata(dispatch.metadata)
            if named and named[1] == order.attempt:
                return next((agent for agent in external if _sent_by(dispatch, agent)), None)
        return None

    async def _seen(
        self, order: LookForAgent, agent: Participant, seen: list[Participant]
    ) -> AgentSeen:
        strays = [
            one.identity
            for one in _agents_among(seen)
            if attempt_of(one) is None and one.identity != agent.identity
        ]
        if self._remove_strays:
            for identity in strays:
                await self._remove_stray(order.livekit_room, identity)
        return AgentSeen(
            identity=agent.identity,
            foreign=attempt_of(agent) is None,
            callers=callers_among(seen),
            strays=strays,
            strays_removed=self._remove_strays,
        )

    async def _remove_stray(self, room: str, identity: str) -> None:
        try:
            await self._rooms.remove_participant(room, identity)
        except EverlineError as error:
            # The attempt's own agent is there all the same.
            log.warning("stray agent not removed", identity=identity, reason=error.message)

    def _log(
        self,
        event: str,
        order: LookForAgent,
        seen: list[Participant],
        agent: Participant | None,
        level: int = logging.INFO,
        **more: object,
    ) -> None:
        log.log(
            level,
            event,
            room=order.livekit_room,
            attempt=order.attempt,
            url=self._rooms.api_url,
            participants=[p.identity for p in seen],
            agent=agent.identity if agent else None,
            **more,
        )


def _checked_later(remaining: float) -> ApplicationError:
    tries = min(activity.info().attempt, 4)
    pause = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE, remaining)
    return ApplicationError(
        f"no agent yet; the org holds its share of this worker's slots: checked in {pause:.1f} s",
        type=CHECKED_LATER,
        next_retry_delay=timedelta(seconds=pause),
        category=ApplicationErrorCategory.BENIGN,
    )


def callers_among(participants: list[Participant], *, connecting: bool = False) -> list[Caller]:
    """The callers of those in a room, or of those who are connecting to it."""
    return [
        Caller(identity=p.identity, sid=p.sid)
        for p in participants
        if (p.connecting if connecting else p.active) and p.kind not in NEVER_CALLERS
    ]


def _sent_by(dispatch: Dispatch, agent: Participant) -> bool:
    if dispatch.agents:
        return agent.identity in dispatch.agents
    # Not listed yet: a named agent comes by a dispatch alone, and LiveKit writes its name down.
    return dispatch.agent_name in (agent.attributes.get(name) for name in AGENT_NAMES)


def _agents_among(participants: list[Participant]) -> list[Participant]:
    """The agents of those in a room.

    A helper that publishes on behalf of an agent (an avatar) is no agent of its own.
    """
    return [
        p for p in participants if p.kind == "agent" and p.active and ON_BEHALF not in p.attributes
    ]
