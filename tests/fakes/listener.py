"""A listener in the rooms of `FakeRooms`, behind the port `RoomListener`."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from domain.errors import Unavailable
from domain.transcripts.listening import Heard
from tests.fakes.rooms import FakeRooms

LOOK_SECONDS = 0.05


@dataclass
class FakeListener:
    """Hears what the test says in a room, until the agent is no longer there.

    Attributes:
        said: what is to be heard next, by room.
        lost: how many times the connection to a room breaks, by room.
        joined: identities under which rooms were joined, in order.
        present: who listens right now, by room.
    """

    rooms: FakeRooms
    said: defaultdict[str, deque[Heard]] = field(default_factory=lambda: defaultdict(deque))
    lost: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    joined: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    present: set[str] = field(default_factory=set[str])

    @asynccontextmanager
    async def listen(
        self, room: str, identity: str, agent: str
    ) -> AsyncGenerator[AsyncIterator[Heard]]:
        """Join a room."""
        self.joined[room].append(identity)
        self.present.add(room)
        try:
            yield self._heard(room, agent)
        finally:
            self.present.discard(room)

    async def _heard(self, room: str, agent: str) -> AsyncGenerator[Heard]:
        while True:
            while self.said[room]:
                yield self.said[room].popleft()
            if self.lost[room]:
                self.lost[room] -= 1
                raise Unavailable("the listener lost the room: test")
            found = self.rooms.rooms.get(room)
            if found is None or agent not in found.participants:
                return
            await asyncio.sleep(LOOK_SECONDS)
