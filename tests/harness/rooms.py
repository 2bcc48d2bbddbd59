"""LiveKit's own word on the rooms, and a watch that no room ever has two active agents."""

import asyncio
import time

from adapters.livekit.rooms import LiveKitRooms
from domain.errors import EverlineError
from domain.sessions.ports import Participant
from tests.harness.ledger import Ledger

LONGEST_OVERLAP = 5.0
"""Seconds that two active agents may be in one room (I5)."""
WATCH_SECONDS = 0.5


class Rooms:
    """The rooms of one stack's LiveKit."""

    def __init__(self, livekit: LiveKitRooms) -> None:
        self.livekit = livekit

    async def names(self) -> set[str]:
        """The rooms that exist."""
        return {room.name for room in await self.livekit.list_rooms()}

    async def agents(self, room: str) -> list[Participant]:
        """The agents in a room, whether active or on their way."""
        return [one for one in await self.livekit.participants(room) if one.kind == "agent"]


async def watch_for_crowds(rooms: Rooms, ledger: Ledger, longest: float = LONGEST_OVERLAP) -> None:
    """Note each room of the ledger that has two active agents for too long; until cancelled."""
    since: dict[str, float] = {}
    while True:
        try:
            for name in await rooms.names() & ledger.rooms().keys():
                active = [agent.identity for agent in await rooms.agents(name) if agent.active]
                if len(active) < 2:
                    since.pop(name, None)
                elif time.monotonic() - since.setdefault(name, time.monotonic()) > longest:
                    ledger.crowded.append(f"{name}: {', '.join(active)}")
        except EverlineError:
            since.clear()  # LiveKit is away, because a test has killed it
        await asyncio.sleep(WATCH_SECONDS)
