"""The ways to a session's end, each as one fixed order of events."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from temporalio.exceptions import ApplicationError

from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import (
    AgentFailed,
    AgentLost,
    AgentReady,
    EndRequest,
    Extend,
    Finalise,
    Message,
    ParticipantChange,
    ParticipantChanged,
    ParticipantKind,
    PlaceChanged,
    Redispatch,
    ReportReceived,
)
from domain.sessions.session import SessionInput, SessionLimits
from domain.transcripts.summary import SummaryStatus
from tests.model.simulator import Simulation, Step
from tests.model.world import Fault, World

LIMITS = SessionLimits(join_attempts=2, max_replacements=1)
QUICK = frozenset(
    {
        *("open_room", "ask_agents_to_finish", "seal_transcript", "delete_room"),
        *("release_place", "free_slot", "record_session"),
    }
)
"""Steps that are done at once, unless a path holds them."""


class Path:
    """A session under way, in a world in which everything works."""

    def __init__(
        self,
        *,
        external: bool = False,
        place: PlaceState | None = PlaceState.RESERVED,
        archive: bool = True,
        held: frozenset[str] = frozenset(),
    ) -> None:
        request = SessionInput(
            org="acme",
            session_id="path",
            room_name="room",
            livekit_room="acme.room",
            caller_identity="caller",
            agent_name="agent",
            config=AgentConfig(agent_id="ag-1"),
            limits=LIMITS,
            request_digest="digest",
            slot=archive,
            archive=archive,
            place=place,
        )
        self.world = World(request, external)
        self.simulation = Simulation(request, self.world.run_local)
        self.held = held
        """Quick steps that take their time."""
        self._events = 0
        self.settle()

    def settle(self) -> None:
        """The quick steps are done."""
        while quick := self._waiting_for(QUICK - self.held):
            self._end(quick[0])

    def _waiting_for(self, names: Collection[str]) -> list[Step]:
        return [step for step in self.simulation.steps.values() if step.name in names]

    def _end(self, step: Step) -> None:
        result, error = self.world.run(step, Fault.NONE)
        if error:
            self.simulation.fail(step, error)
        else:
            self.simulation.complete(step, result)

    def pending(self, name: str) -> Step:
        """The activity of this name that the workflow waits for."""
        self.settle()
        return self._waiting_for({name})[0]

    def done(self, name: str) -> None:
        """The pending activity of this name is done, or fails as it has to."""
        self._end(self.pending(name))
        self.settle()

    def fails(self, name: str) -> None:
        """The pending activity of this name has failed for good."""
        self.simulation.fail(self.pending(name), ApplicationError("nobody answers"))
        self.settle()

    def signal(self, name: str, message: Message) -> None:
        """A message comes."""
        self.settle()
        self.simulation.signal(name, message)
        self.settle()

    def event_id(self) -> str:
        """An id that no other event has."""
        self._events += 1
        return f"event-{self._events}"

    # ── what usually happens ─────────────────────────────────────────────────────────────────────

    def dispatched(self) -> None:
        """LiveKit takes the dispatch."""
        self.done("dispatch_agent")

    def agent_joins(self, attempt: int = 1) -> None:
        """An agent is dispatched, appears and claims its attempt."""
        self.dispatched()
        self.world.agents[attempt] = f"agent-{attempt}"
        if not self.world.external:
            claim = AgentReady(attempt=attempt, job_id="job", identity=f"agent-{attempt}")
            self.simulation.update("agent_ready", claim)
        self.done("await_agent")

    def caller(self, change: ParticipantChange, sid: str = "PA_1") -> None:
        """The caller joins or leaves, as LiveKit's webhook tells."""
        if change is ParticipantChange.JOINED:
            self.world.callers[sid] = "caller"
        else:
            del self.world.callers[sid]
        self.signal(
            "participant_changed",
            ParticipantChanged(
                event_id=self.event_id(),
                change=change,
                kind=ParticipantKind.CALLER,
                identity="caller",
                sid=sid,
            ),
        )

    def live(self) -> "Path":
        """Agent and caller are there."""
        self.agent_joins()
        self.caller(ParticipantChange.JOINED)
        self.simulation.advance(5)
        return self

    def ended(self) -> None:
        """Somebody requests the end."""
        self.signal("end", EndRequest(event_id=self.event_id()))

    def reported(self, attempt: int = 1, end: ReportEnd = ReportEnd.END_REQUESTED) -> None:
        """The agent's report comes."""
        self.signal(
            "report_received",
            ReportReceived(
                event_id=self.event_id(),
                attempt=attempt,
                digest="d",
                end_reason=end,
                turn_count=2,
                caller_turns=1,
                stored=True,
            ),
        )

    def agent_dies(self, attempt: int = 1) -> None:
        """The agent's server says that its process is dead."""
        self.world.agents.pop(attempt, None)
        lost = AgentLost(event_id=self.event_id(), attempt=attempt, reason="killed")
        self.signal("agent_lost", lost)

    def summarised(self) -> None:
        """The summary's child workflow runs and ends."""
        self.settle()
        [child] = self.simulation.children.values()
        self.simulation.start_child(child)
        self.simulation.complete_child(child, SummaryStatus.READY)
        self.settle()

    def go_on(self) -> None:
        """Everything else is done, up to the end."""
        while self.simulation.result is None:
            if self.simulation.children:
                self.summarised()
            else:
                self._end(next(iter(self.simulation.steps.values())))


def completed(path: Path) -> None:
    """A whole call, ended on request."""
    path.live().ended()
    path.reported()
    path.summarised()


def agent_ends(path: Path) -> None:
    """A whole call that its agent ends."""
    path.live().reported(end=ReportEnd.AGENT_ENDED)
    path.summarised()


def caller_leaves(path: Path) -> None:
    """The caller hangs up and does not come back."""
    path.live().caller(ParticipantChange.LEFT)
    path.simulation.advance(30)
    path.done("look_for_callers")
    path.reported()
    path.summarised()


def caller_never_joined(path: Path) -> None:
    """The caller never comes."""
    path.agent_joins()
    path.simulation.advance(60)
    path.done("look_for_callers")
    path.reported()
    path.summarised()


def max_duration(path: Path) -> None:
    """The call is as long as it may be."""
    path.live().simulation.advance(3600)
    path.reported()
    path.summarised()


def report_missing(path: Path) -> None:
    """The agent's report never comes."""
    path.live().ended()
    path.simulation.advance(20)
    path.done("remove_agents")
    path.simulation.advance(11)
    path.summarised()


def agent_never_joined(path: Path) -> None:
    """No agent comes, at none of the attempts."""
    for _ in range(LIMITS.join_attempts):
        path.dispatched()
        path.done("await_agent")
        path.done("retract_attempts")
        if path.simulation.steps:
            path.done("announce_session")
        path.simulation.advance(2)
    path.summarised()


def agent_failed(path: Path) -> None:
    """The agent cannot start, and says that another one cannot either."""
    path.dispatched()
    path.signal("agent_failed", AgentFailed(event_id="failed", attempt=1, reason="no key"))
    path.done("retract_attempts")
    path.summarised()


def replaced_agent(path: Path) -> None:
    """The agent's process dies, and another agent takes over."""
    path.live().agent_dies()
    path.done("retract_attempts")
    path.agent_joins(2)
    path.ended()
    path.reported(2)
    path.summarised()


def agent_lost(path: Path) -> None:
    """The agent's process dies, and so does its successor's."""
    path.live().agent_dies()
    path.done("retract_attempts")
    path.agent_joins(2)
    path.agent_dies(2)
    path.done("retract_attempts")
    path.summarised()


def cancelled(path: Path) -> None:
    """Somebody cancels the workflow."""
    path.live().simulation.cancel()
    path.reported()
    path.summarised()


def room_lost(path: Path) -> None:
    """LiveKit closes the room."""
    path.live().world.room = False
    closed = ParticipantChanged(event_id="closed", change=ParticipantChange.ROOM_FINISHED)
    path.signal("participant_changed", closed)
    path.reported(end=ReportEnd.ROOM_DELETED)
    path.summarised()


def extended(path: Path) -> None:
    """The call may last longer than it could at first."""
    path.live().simulation.update("extend", Extend(seconds=600))
    path.simulation.advance(3700)
    path.ended()
    path.reported()
    path.summarised()


def redispatched(path: Path) -> None:
    """An operator replaces a healthy agent."""
    path.live().simulation.update("redispatch", Redispatch(by="ann"))
    path.done("count_free_places")
    path.done("retract_attempts")
    path.agent_joins(2)
    path.reported(1, ReportEnd.SHUTDOWN)
    path.ended()
    path.reported(2)
    path.summarised()


def finalised(path: Path) -> None:
    """An operator waits no longer for the report."""
    path.live().ended()
    path.simulation.update("finalise", Finalise(by="ann"))
    path.summarised()


def external_agent(path: Path) -> None:
    """An external agent, which a listener hears, ends with its caller."""
    path.live().caller(ParticipantChange.LEFT)
    path.simulation.advance(30)
    path.done("look_for_callers")
    path.simulation.advance(2)
    path.done("remove_callers")
    path.simulation.advance(20)
    path.done("remove_agents")
    path.simulation.advance(10)
    path.done("listen_to_agent")
    path.summarised()


def queue(path: Path) -> None:
    """The session waits for a place, and gets it."""
    path.signal("place_changed", PlaceChanged(event_id="place:2", position=2, seconds=9))
    path.signal("place_changed", PlaceChanged(event_id="place:0", position=0))
    path.live().reported(end=ReportEnd.AGENT_ENDED)
    path.summarised()


def no_capacity(path: Path) -> None:
    """The session waits for a place, and gets none in time."""
    path.simulation.advance(31)
    path.summarised()


def archive_deferred(path: Path) -> None:
    """MongoDB is away at the end, and the archive follows."""
    path.live().ended()
    path.world.faults = [Fault.BEFORE]
    path.held = frozenset({"seal_transcript"})
    path.reported()
    path.fails("seal_transcript")
    [child] = path.simulation.children.values()
    path.simulation.start_child(child)
    path.settle()


def room_not_opened(path: Path) -> None:
    """LiveKit does not answer at the start."""
    path.fails("open_room")
    path.go_on()


def room_not_deleted(path: Path) -> None:
    """LiveKit does not delete the room in time; the session closes, and its workflow goes on."""
    path.live().held = frozenset({"delete_room"})
    path.reported(end=ReportEnd.AGENT_ENDED)
    path.summarised()
    path.fails("delete_room")
    path.done("delete_room")


def without_mongodb(path: Path) -> None:
    """A call without an archive."""
    path.live().reported(end=ReportEnd.AGENT_ENDED)


def queued() -> Path:
    """A session that has to wait for a place."""
    return Path(place=PlaceState.QUEUED)


@dataclass(frozen=True)
class Way:
    """How a session begins, and what happens to it then."""

    play: Callable[[Path], None]
    begin: Callable[[], Path] = Path


WAYS = (
    *(Way(completed), Way(agent_ends), Way(caller_leaves), Way(caller_never_joined)),
    *(Way(max_duration), Way(report_missing), Way(agent_never_joined), Way(agent_failed)),
    *(Way(replaced_agent), Way(agent_lost), Way(cancelled), Way(room_lost)),
    *(Way(extended), Way(redispatched), Way(finalised), Way(archive_deferred)),
    Way(external_agent, lambda: Path(external=True)),
    *(Way(queue, queued), Way(no_capacity, queued)),
    Way(room_not_opened, lambda: Path(held=frozenset({"open_room"}))),
    Way(room_not_deleted),
    Way(without_mongodb, lambda: Path(place=None, archive=False)),
)
PATHS = {way.play.__name__: way for way in WAYS}
