"""LiveKit's rooms in memory, behind the port `Rooms`, with faults on request."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from domain.errors import EverlineError, InvalidInput, NotFound, Unavailable
from domain.sessions.ports import Dispatch, Participant, Room


class Fault(Enum):
    """What goes wrong with one call."""

    AWAY = "LiveKit does not answer, nothing was done"
    DONE_THEN_SILENT = "LiveKit did it, and the answer was lost"
    SEEMS_MISSING = "LiveKit neither lists the room nor finds its node"
    REFUSED = "LiveKit says that it will never do it"


@dataclass
class FakeRoom:
    """One room as LiveKit keeps it."""

    sid: str
    metadata: str
    empty_timeout: int
    departure_timeout: int
    participants: dict[str, Participant] = field(default_factory=dict[str, Participant])
    dispatches: dict[str, str] = field(default_factory=dict[str, str])
    """Metadata by dispatch id."""
    agents: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set[str]))
    """Identities of the agents that run the jobs of a dispatch."""
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Agent names by dispatch id."""


@dataclass(frozen=True)
class Sent:
    """One data packet."""

    topic: str
    data: bytes
    identities: tuple[str, ...]


class FakeRooms:
    """Rooms of one LiveKit server; agents and callers are played by whoever sets the hooks.

    Attributes:
        rooms: what exists now, by name.
        calls: every call with its room, in order, whether it worked or not.
        dispatched: metadata of every dispatch ever made, by room.
        sent: every data packet, by room.
        faults: what goes wrong with the next calls of an (operation, room), one entry a call.
        unbooked: rooms that are alive and that LiveKit's lists have lost, with who is in them; as
            on a Redis that has forgotten them until somebody comes or leaves.
        away: rooms of which LiveKit says nothing while they are in here.
        on_dispatch: called with room, dispatch id and metadata of each new dispatch.
        on_data: called with room and packet.
        on_removed: called with room and participant that was removed.
    """

    api_url = "http://livekit.test"

    def __init__(self) -> None:
        self.rooms: dict[str, FakeRoom] = {}
        self.calls: list[tuple[str, str]] = []
        self.dispatched: defaultdict[str, list[str]] = defaultdict(list[str])
        self.sent: defaultdict[str, list[Sent]] = defaultdict(list[Sent])
        self.faults: defaultdict[tuple[str, str], deque[Fault]] = defaultdict(deque[Fault])
        self.unbooked: set[str] = set()
        self.away: set[str] = set()
        self.on_dispatch: Callable[[str, str, str], None] = lambda room, id, metadata: None
        self.on_data: Callable[[str, Sent], None] = lambda room, sent: None
        self.on_removed: Callable[[str, Participant], None] = lambda room, participant: None
        self._ids = 0

    # ── the port ─────────────────────────────────────────────────────────────────────────────────

    async def create(
        self, room: str, metadata: str, empty_timeout: int, departure_timeout: int
    ) -> Room:
        fault = await self._begin("create", room)
        if room not in self.rooms:
            self.rooms[room] = FakeRoom(self._id("RM"), metadata, empty_timeout, departure_timeout)
        self._end(fault)
        return self._room(room)

    async def list_rooms(self, names: Sequence[str] | None = None) -> list[Room]:
        for name in names or ():
            self._end(await self._begin("list_rooms", name))
        booked = [name for name in self.rooms if name not in self.unbooked]
        return [self._room(name) for name in booked if names is None or name in names]

    async def exists(self, room: str) -> bool:
        self._end(await self._begin("exists", room))
        return room in self.rooms

    async def delete(self, room: str) -> bool:
        fault = await self._begin("delete", room)
        if room in self.unbooked:
            return False
        gone = self.rooms.pop(room, None)
        for participant in gone.participants.values() if gone else ():
            self.on_removed(room, participant)
        self._end(fault)
        return gone is not None

    async def participants(self, room: str) -> list[Participant]:
        self._end(await self._begin("participants", room))
        found = self.rooms.get(room)
        return list(found.participants.values()) if found and room not in self.unbooked else []

    async def remove_participant(self, room: str, identity: str) -> bool:
        fault = await self._begin("remove_participant", room)
        found = None if room in self.unbooked else self.rooms.get(room)
        participant = found.participants.pop(identity, None) if found else None
        if participant:
            self.on_removed(room, participant)
        self._end(fault)
        return participant is not None

    async def dispatch(self, room: str, agent_name: str, metadata: str) -> str:
        fault = await self._begin("dispatch", room)
        found = self._existing(room)
        dispatch_id = self._id("AD")
        found.dispatches[dispatch_id] = metadata
        found.names[dispatch_id] = agent_name
        self.dispatched[room].append(metadata)
        self.on_dispatch(room, dispatch_id, metadata)
        self._end(fault)
        return dispatch_id

    async def dispatches(self, room: str) -> list[Dispatch]:
        self._end(await self._begin("dispatches", room))
        found = self.rooms.get(room)
        if not found:
            return []
        return [
            Dispatch(
                id=id,
                agent_name=found.names[id],
                metadata=metadata,
                agents=frozenset(found.agents[id]),
            )
            for id, metadata in found.dispatches.items()
        ]

    async def delete_dispatch(self, room: str, dispatch_id: str) -> bool:
        fault = await self._begin("delete_dispatch", room)
        found = self.rooms.get(room)
        metadata = found.dispatches.pop(dispatch_id, None) if found else None
        self._end(fault)
        return metadata is not None

    async def send_data(
        self, room: str, topic: str, data: bytes, identities: Sequence[str]
    ) -> None:
        fault = await self._begin("send_data", room)
        present = self._existing(room).participants
        packet = Sent(topic, data, tuple(name for name in identities if name in present))
        self.sent[room].append(packet)
        self.on_data(room, packet)
        self._end(fault)

    # ── the people in it ─────────────────────────────────────────────────────────────────────────

    def join(
        self,
        room: str,
        identity: str,
        kind: str,
        attributes: dict[str, str] | None = None,
        sid: str | None = None,
        dispatch: str | None = None,
    ) -> Participant:
        """Somebody connects; an identity that is there is replaced by the new connection.

        An agent may run a job of a `dispatch`.
        """
        if dispatch:
            self._existing(room).agents[dispatch].add(identity)
        participant = Participant(
            identity=identity,
            sid=sid or self._id("PA"),
            kind=kind,
            active=True,
            attributes=attributes or {},
        )
        self._existing(room).participants[identity] = participant
        self.unbooked.discard(room)
        return participant

    def leave(self, room: str, identity: str) -> Participant | None:
        """Somebody disconnects."""
        found = self.rooms.get(room)
        self.unbooked.discard(room)
        return found.participants.pop(identity, None) if found else None

    def count(self, operation: str, room: str) -> int:
        """How often an operation was called for a room."""
        return self.calls.count((operation, room))

    def known(self) -> set[str]:
        """Every room that was ever asked for; sessions that wind down ask for no new one."""
        return {room for _, room in self.calls}

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    async def _begin(self, operation: str, room: str) -> Fault | None:
        await asyncio.sleep(0)
        self.calls.append((operation, room))
        waiting = self.faults[operation, room]
        fault = waiting.popleft() if waiting else None
        if room in self.away or fault is Fault.AWAY:
            raise Unavailable("LiveKit does not answer")
        if fault is Fault.REFUSED:
            raise InvalidInput("LiveKit refuses")
        if fault is Fault.SEEMS_MISSING:
            raise _no_such_room(room)
        return fault

    def _end(self, fault: Fault | None) -> None:
        if fault is Fault.DONE_THEN_SILENT:
            raise Unavailable("LiveKit did not answer in time")

    def _existing(self, room: str) -> FakeRoom:
        found = self.rooms.get(room)
        if found is None:
            raise _no_such_room(room)
        return found

    def _room(self, name: str) -> Room:
        found = self.rooms[name]
        return Room(
            name=name,
            sid=found.sid,
            metadata=found.metadata,
            participants=len(found.participants),
        )

    def _id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}_{self._ids}"


def _no_such_room(room: str) -> EverlineError:
    return NotFound(f"LiveKit has no room {room!r}", field="room")
