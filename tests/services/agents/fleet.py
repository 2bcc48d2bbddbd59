"""One agent server, the sessions that it runs, and what admits them; all in memory."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from adapters.memory_agent_servers import MemoryAgentServers
from domain.access.quotas import Life
from domain.agents.places import PlaceState
from domain.agents.servers import Heartbeat, JobTick
from domain.errors import MessageRefused, RoomNameTaken
from domain.ids import SessionKey
from domain.sessions.messages import PlaceChanged
from domain.sessions.session import SessionState, SessionStatus, WaitingFor
from services.agents.admission import Admission, Admitted
from tests.fakes.places import MemoryPlaces

NAME = "agents"


@dataclass
class Workflows:
    """The sessions' workflows: which ones there are, and what they were told."""

    lives: dict[SessionKey, Life] = field(default_factory=dict[SessionKey, Life])
    told: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    refusing: set[str] = field(default_factory=set[str])
    states: dict[SessionKey, SessionState] = field(default_factory=dict[SessionKey, SessionState])
    external: set[SessionKey] = field(default_factory=set[SessionKey])

    async def signal(self, key: SessionKey, message: PlaceChanged) -> bool:
        """As of the port `Sessions`."""
        if key.session_id in self.refusing:
            raise MessageRefused("Temporal takes no message for this session: test")
        if await self.life(key) is not Life.OPEN:
            return False
        self.told.append((key.session_id, message.position))
        return True

    async def status(self, key: SessionKey) -> SessionStatus:
        """As of the port `Sessions`."""
        state = self.states.get(key, SessionState.LIVE)
        return SessionStatus(
            **key._asdict(),
            room_name="room",
            state=state,
            waiting_for=WaitingFor.NOTHING,
            version=1,
            agent_name=NAME,
            foreign_agent=key in self.external,
            started_at=datetime.now(UTC),
        )

    async def life(self, key: SessionKey) -> Life:
        """As of the port `SessionLives`."""
        return self.lives.get(key, Life.UNKNOWN)

    async def open_ids(self, org: str) -> set[str]:
        """As of the port `SessionLives`."""
        return {key.session_id for key, life in self.lives.items() if life is Life.OPEN}


class Fleet:
    """One agent server, its sessions, and what admits them."""

    def __init__(self) -> None:
        self.servers = MemoryAgentServers()
        self.places = MemoryPlaces()
        self.workflows = Workflows()
        # Of the port `Sessions`, only signals are needed.
        self.admission = Admission(self.servers, self.places, self.workflows, self.workflows)  # pyright: ignore[reportArgumentType]
        self._beats = 0

    async def reports(
        self, *sessions: str, max_jobs: int = 2, server: str = "one", draining: bool = False
    ) -> None:
        """An agent server's heartbeat: it runs these sessions' agents."""
        self._beats += 1
        jobs = [JobTick(job_id=f"job-{s}", org="acme", session_id=s, attempt=1) for s in sessions]
        beat = Heartbeat(
            server_id=server,
            number=self._beats,
            agent_name=NAME,
            max_jobs=max_jobs,
            draining=draining,
            jobs=jobs,
        )
        await self.servers.record(beat, datetime.now(UTC))

    async def starts(self, name: str, *, org: str = "acme", queue_seconds: float = 30) -> Admitted:
        """A start, whose workflow begins if it is admitted."""
        key = SessionKey(org, name)
        admitted = await self.admission.admit(key, NAME, queue_seconds)
        self.workflows.lives[key] = Life.OPEN
        return admitted

    async def refused_start(self, name: str) -> PlaceState | None:
        """A start that is refused after it was admitted; returns what it had got."""
        admitted = Admitted(None)
        with suppress(RoomNameTaken):
            async with self.admission.place(SessionKey("acme", name), NAME, 30) as admitted:
                raise RoomNameTaken("the room belongs to another session")
        return admitted.state

    async def ends(self, name: str, *, org: str = "acme") -> None:
        """The session's call is over."""
        await self.places.release(SessionKey(org, name))

    def ages(self, by: timedelta) -> None:
        """Time passes for all who hold a place or wait."""
        for claims in (self.places.held, self.places.waiting):
            for key, claim in claims.items():
                older = {"claimed_at": claim.claimed_at - by}
                # The checker cannot tell that each model goes back where it came from.
                claims[key] = claim.model_copy(update=older)  # pyright: ignore[reportArgumentType]
