"""Sessions that really run: the workflow on a Temporal server, LiveKit and MongoDB in memory."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from adapters.memory_agent_servers import MemoryAgentServers
from adapters.settings import WorkerSettings
from adapters.temporal.sessions import Signal, TemporalSessions
from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState
from domain.errors import Unavailable
from domain.ids import livekit_room_name, session_workflow_id, summary_workflow_id
from domain.sessions.messages import (
    AgentFailed,
    AgentReady,
    EndRequest,
    Extend,
    Finalise,
    ParticipantChange,
    ParticipantChanged,
    ParticipantKind,
    ReadyAnswer,
    Redispatch,
    WaitUntil,
)
from domain.sessions.ports import Participant
from domain.sessions.session import SessionInput, SessionLimits, SessionStatus, Stage
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from tests.fakes.agents import Crew, Lines, Plays
from tests.fakes.archives import MemoryArchive, ScriptedSummariser
from tests.fakes.listener import FakeListener
from tests.fakes.places import MemoryPlaces
from tests.fakes.rooms import FakeRooms, Sent
from tests.replaying import replay
from tests.waiting import eventually
from tests.workflows.evidence import Closed, children, faults, outcomes_published
from workflows.session import SessionWorkflow

ORG = "acme"
AGENT_NAME = "test-agent"

Update = WaitUntil | Extend | Redispatch | Finalise

PATIENCE = 60.0
"""Seconds in which a busy machine has to answer; every question may be asked again."""

Answer = TypeVar("Answer")
BUDGETS = SessionLimits(
    join_timeout=60,
    ready_timeout=60,
    join_attempts=2,
    join_backoff=0,
    caller_wait=300,
    caller_return=1,
    max_duration=600,
    report_grace=60,
    lost_report_grace=1,
    archive_wait=60,
    summary_wait=60,
    room_deletion_wait=60,
)
"""What is to come has plenty of time on a busy machine; who waits in vain names a shorter one."""


@dataclass
class Studio:
    """Where calls take place: one worker, one LiveKit, one archive for all of them."""

    client: Client
    settings: WorkerSettings
    rooms: FakeRooms
    archive: MemoryArchive
    summariser: ScriptedSummariser
    agent_servers: MemoryAgentServers = field(default_factory=MemoryAgentServers)
    places: MemoryPlaces = field(default_factory=MemoryPlaces)
    org: str = ORG
    """Whose calls are made from now on."""
    listener: FakeListener = field(init=False)
    _crews: dict[str, Crew] = field(default_factory=dict[str, Crew])
    _mark: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Tells the ids of this studio from those of others on the same server."""
    _names: "count[int]" = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.listener = FakeListener(self.rooms)
        self.rooms.on_dispatch = self._on_dispatch
        self.rooms.on_data = self._on_data
        self.rooms.on_removed = self._on_removed

    def call(
        self,
        *agents: Plays,
        archive: bool = True,
        agent_name: str = AGENT_NAME,
        place: PlaceState | None = None,
        **limits: float,
    ) -> "Call":
        """A call that can be started, with what its agents do, attempt by attempt."""
        name = f"call-{self._mark}-{next(self._names)}"
        request = SessionInput(
            org=self.org,
            session_id=name,
            room_name=f"{name}-room",
            livekit_room=livekit_room_name(self.org, f"{name}-room"),
            caller_identity="caller",
            agent_name=agent_name,
            config=AgentConfig(agent_id="ag-1"),
            limits=BUDGETS.model_copy(update=limits),
            request_digest=f"digest-of-{name}",
            archive=archive,
            place=place,
        )
        call = Call(self, request, list(agents) or [Plays()])
        self._crews[request.livekit_room] = call.crew
        return call

    # A session whose room nobody expected has no agents.

    def _on_dispatch(self, room: str, dispatch_id: str, metadata: str) -> None:
        if room in self._crews:
            self._crews[room].on_dispatch(room, dispatch_id, metadata)

    def _on_data(self, room: str, sent: Sent) -> None:
        if room in self._crews:
            self._crews[room].on_data(room, sent)

    def _on_removed(self, room: str, participant: Participant) -> None:
        if room in self._crews:
            self._crews[room].on_removed(room, participant)


class Call:
    """One session, and everything that can be done to it."""

    def __init__(self, studio: Studio, request: SessionInput, agents: list[Plays]) -> None:
        self.studio = studio
        self.request = request
        self.key = request.key
        self.room = request.livekit_room
        self.gateway = TemporalSessions(studio.client, studio.settings.temporal_task_queue)
        self.handle = studio.client.get_workflow_handle_for(
            SessionWorkflow.run, session_workflow_id(request.key)
        )
        lines = Lines(
            claim=self.claim,
            failed=self.tell,
            report=self.tell,
        )
        self.crew = Crew(studio.rooms, lines, agents)
        self._events = count(1)

    # ── what happens to it ───────────────────────────────────────────────────────────────────────

    async def start(self) -> "Call":
        """Start the workflow as the API does."""
        await _at_last(lambda: self.gateway.start(self.request, Stage.ACCEPTED, 5))
        return self

    async def live(self, *, with_caller: bool = True) -> "Call":
        """Start, and wait until the agent is proven; the caller comes."""
        await self.start()
        await self.until("joined", lambda status: status.joins > 0)
        if with_caller:
            await self.caller_joins()
        return self

    async def tell(self, message: Signal) -> None:
        """Send a signal."""
        await _at_last(lambda: self.gateway.signal(self.key, message))

    async def claim(self, claim: AgentReady) -> ReadyAnswer:
        """An agent's claim; raises `StaleAttempt` if it is refused."""
        return await _at_last(lambda: self.gateway.claim(self.key, claim))

    async def end(self, event_id: str | None = None) -> None:
        """Ask for the end."""
        await self.tell(EndRequest(event_id=event_id or self.event_id(), by="a test"))

    async def update(self, change: Update) -> SessionStatus:
        """Send an update; raises `WorkflowUpdateFailedError` if it is refused."""
        number = self.event_id()
        return await _at_last(lambda: self._update(change, number))

    async def _update(self, change: Update, number: str) -> SessionStatus:
        handle = self.handle
        # The SDK's overloads leave type parameters open.
        try:
            if isinstance(change, WaitUntil):
                return await handle.execute_update(SessionWorkflow.wait_until, change, id=number)  # pyright: ignore[reportUnknownMemberType]
            if isinstance(change, Extend):
                return await handle.execute_update(SessionWorkflow.extend, change, id=number)  # pyright: ignore[reportUnknownMemberType]
            if isinstance(change, Redispatch):
                return await handle.execute_update(SessionWorkflow.redispatch, change, id=number)  # pyright: ignore[reportUnknownMemberType]
            return await handle.execute_update(SessionWorkflow.finalise, change, id=number)  # pyright: ignore[reportUnknownMemberType]
        except RPCError as error:
            # A workflow task came to nothing, because it took too long.
            if error.status is RPCStatusCode.FAILED_PRECONDITION:
                raise Unavailable(error.message) from None
            raise

    def caller_comes(self, sid: str = "PA_caller", identity: str = "caller") -> None:
        """Somebody connects, and no webhook tells."""
        self.studio.rooms.join(self.room, identity, "standard", sid=sid)

    def caller_goes(self, sid: str = "PA_caller", identity: str = "caller") -> None:
        """A connection ends, and no webhook tells."""
        room = self.studio.rooms.rooms.get(self.room)
        connected = room.participants.get(identity) if room else None
        if connected and connected.sid == sid:
            self.studio.rooms.leave(self.room, identity)

    async def caller_joins(self, sid: str = "PA_caller") -> None:
        """A caller connects, and LiveKit's webhook tells."""
        self.caller_comes(sid)
        await self.tell(
            self.participant(ParticipantChange.JOINED, ParticipantKind.CALLER, "caller", sid)
        )

    async def caller_leaves(self, sid: str = "PA_caller", reason: str | None = None) -> None:
        """A caller's connection ends, and LiveKit's webhook tells."""
        self.caller_goes(sid)
        left = self.participant(ParticipantChange.LEFT, ParticipantKind.CALLER, "caller", sid)
        await self.tell(left.model_copy(update={"detail": reason}))

    async def stranger_joins(self, identity: str = "bob") -> None:
        """Somebody connects whom the start did not name, and LiveKit's webhook tells."""
        self.caller_comes(f"PA_{identity}", identity)
        await self.tell(
            self.participant(
                ParticipantChange.JOINED, ParticipantKind.CALLER, identity, f"PA_{identity}"
            )
        )

    async def agent_leaves(self, reason: str = "CONNECTION_TIMEOUT") -> None:
        """LiveKit's webhook: the agent's participant is gone."""
        identity = (await self.status()).agent_identity
        assert identity
        self.studio.rooms.leave(self.room, identity)
        change = self.participant(ParticipantChange.LEFT, ParticipantKind.AGENT, identity, "PA_a")
        await self.tell(change.model_copy(update={"detail": reason}))

    async def agent_reconnects(self) -> None:
        """LiveKit's webhook for a connection of the agent's that was replaced by its next one."""
        identity = (await self.status()).agent_identity
        assert identity
        change = self.participant(ParticipantChange.LEFT, ParticipantKind.AGENT, identity, "PA_a")
        await self.tell(change.model_copy(update={"detail": "CLIENT_INITIATED"}))

    async def livekit_closes_the_room(self) -> None:
        """LiveKit's webhook: the room is finished."""
        self.studio.rooms.rooms.pop(self.room, None)
        await self.tell(
            ParticipantChanged(event_id=self.event_id(), change=ParticipantChange.ROOM_FINISHED)
        )

    def participant(
        self, change: ParticipantChange, kind: ParticipantKind, identity: str, sid: str
    ) -> ParticipantChanged:
        """One event of LiveKit's about a participant."""
        return ParticipantChanged(
            event_id=self.event_id(), change=change, kind=kind, identity=identity, sid=sid
        )

    def failure(self, attempt: int, reason: str, *, retryable: bool = True) -> AgentFailed:
        """An agent's word that it cannot start or go on."""
        return AgentFailed(
            event_id=self.event_id(), attempt=attempt, reason=reason, retryable=retryable
        )

    def event_id(self) -> str:
        """An id that no other event of this call has."""
        return f"event-{next(self._events)}"

    async def says(self, *lines: str, attempt: int = 1) -> None:
        """The agent streams turns, which are stored before it reports."""
        turns = [
            Turn(
                item_id=f"item-{attempt}-{seq}",
                attempt=attempt,
                seq=seq,
                role=Role.USER,
                text=line,
                created_at=datetime.now(UTC),
            )
            for seq, line in enumerate(lines)
        ]
        transcripts = Transcripts(self.studio.archive.transcripts)
        await transcripts.record_turns(self.key, turns, datetime.now(UTC))

    # ── what can be seen of it ───────────────────────────────────────────────────────────────────

    async def status(self) -> SessionStatus:
        """The answer of its query; on a busy machine a worker may be late with it."""
        return await _at_last(lambda: self.gateway.status(self.key))

    async def until(
        self, what: str, condition: Callable[[SessionStatus], bool], within: float = 60.0
    ) -> SessionStatus:
        """Wait until its status fulfils a condition; returns that status."""
        seen: list[SessionStatus] = []

        async def holds() -> bool:
            seen.append(await self.status())
            return condition(seen[-1])

        await eventually(holds, within, f"{self.key.session_id}: {what}")
        return seen[-1]

    async def closed(self) -> Closed:
        """Wait for its end, and check what must be true of every session's end."""
        result = await self.handle.result()
        await self.crew.settle()
        history = await self.handle.fetch_history()
        closed = Closed(result, await self.status(), history)
        await self._check_invariants(closed)
        return closed

    async def description(self) -> WorkflowExecutionDescription:
        """What an operator sees of it in Temporal."""
        return await self.handle.describe()

    def agents(self) -> list[str]:
        """Identities of the agents in its room."""
        there = self.studio.rooms.rooms[self.room].participants.values()
        return [participant.identity for participant in there if participant.kind == "agent"]

    def dispatched_attempts(self) -> list[int]:
        """The attempts of all dispatches that LiveKit ever accepted for it."""
        made = self.studio.rooms.dispatched[self.room]
        return [int(json.loads(metadata)["everline"]["attempt"]) for metadata in made]

    def unanswered(self) -> list[bool]:
        """Whether the agent of each dispatch was told of an unanswered caller."""
        return [bool(told) for told in self.told_agents("unanswered")]

    def told_agents(self, name: str) -> list[Any]:
        """What the agent of each dispatch was told by this field of its `everline` metadata."""
        made = self.studio.rooms.dispatched[self.room]
        return [json.loads(metadata)["everline"].get(name) for metadata in made]

    async def summary_closed(self) -> Any:
        """Wait for the end of its summary workflow; returns how that ended."""
        return await self.studio.client.get_workflow_handle(summary_workflow_id(self.key)).result()

    async def _check_invariants(self, closed: Closed) -> None:
        events = [event.event_type for event in closed.history.events]
        assert not faults(closed.history), closed.told
        assert events[-1] == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, closed.told
        assert outcomes_published(closed.history) == 1, "exactly one terminal state"
        assert children(closed.history)["summary"] <= 1, "at most one summary"
        assert closed.status.outcome is closed.result.outcome
        assert (closed.status.state, closed.status.waiting_for) == ("closed", "nothing")
        assert closed.status.room_deleted, "the status says that a room of it is left"
        doubled = [number for number, n in Counter(self.dispatched_attempts()).items() if n > 1]
        assert not doubled, f"attempts dispatched twice: {doubled}"
        room = self.studio.rooms.rooms.get(self.room)
        owner = json.loads(room.metadata) if room else None
        assert owner != {"org": ORG, "session": self.key.session_id}, "its room is still there"
        await replay(closed.history, self.studio.client.data_converter)


async def _at_last(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """An answer of a busy machine, which may be late; to ask twice does nothing twice."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
