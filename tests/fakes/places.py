"""Places on agent servers, in memory, behind the port `Places`."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from domain.agents.places import Place, Waiting
from domain.agents.ports import Places
from domain.errors import StorageUnavailable
from domain.ids import SessionKey


@dataclass
class MemoryPlaces(Places):
    """Can be switched off, as MongoDB can."""

    held: dict[SessionKey, Place] = field(default_factory=dict[SessionKey, Place])
    waiting: dict[SessionKey, Waiting] = field(default_factory=dict[SessionKey, Waiting])
    released: list[tuple[str, datetime]] = field(default_factory=list[tuple[str, datetime]])
    away: bool = False
    asked: int = 0

    def _check(self) -> None:
        self.asked += 1
        if self.away:
            raise StorageUnavailable("MongoDB did not answer: test")

    async def claim(self, key: SessionKey, agent_name: str, limit: int) -> bool:
        self._check()
        if key in self.held:
            again = {"claimed_at": datetime.now(UTC)}
            self.held[key] = self.held[key].model_copy(update=again)
            return True
        taken = {place.number for place in await self.of_name(agent_name)}
        if len(taken) >= limit:
            return False
        number = min(set(range(limit)) - taken)
        now = datetime.now(UTC)
        self.held[key] = Place(
            agent_name=agent_name, number=number, claimed_at=now, **key._asdict()
        )
        return True

    async def free(self, key: SessionKey) -> bool:
        self._check()
        waited = self.waiting.pop(key, None)
        return bool(self.held.pop(key, None) or waited)

    async def release(self, key: SessionKey) -> bool:
        if key in self.held:
            self.released.append((self.held[key].agent_name, datetime.now(UTC)))
        return await self.free(key)

    async def of_name(self, agent_name: str) -> list[Place]:
        self._check()
        return [place for place in self.held.values() if place.agent_name == agent_name]

    async def all_places(self) -> list[Place]:
        self._check()
        return list(self.held.values())

    async def enqueue(self, waiting: Waiting) -> None:
        self._check()
        self.waiting.setdefault(waiting.key, waiting)

    async def leave(self, key: SessionKey) -> bool:
        self._check()
        return self.waiting.pop(key, None) is not None

    async def is_waiting(self, key: SessionKey) -> bool:
        self._check()
        return key in self.waiting

    async def queue(self) -> list[Waiting]:
        self._check()
        return list(self.waiting.values())

    async def releases(self, agent_name: str) -> list[datetime]:
        self._check()
        return [at for name, at in self.released if name == agent_name]
