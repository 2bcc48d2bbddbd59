"""Every order in which messages, failures and time can reach a session, and what must hold then."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.agents.config import AgentConfig
from domain.agents.places import PlaceState
from domain.sessions.end_reasons import EndReason, ReportEnd
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
    WaitUntil,
)
from domain.sessions.session import Outcome, SessionInput, SessionLimits, SessionStatus, Stage
from domain.transcripts.summary import SummaryStatus
from tests.model.simulator import Simulation, Step
from tests.model.world import Fault, World

LIMITS = SessionLimits(join_attempts=2, max_replacements=2, caller_wait=60, max_duration=600)
CLOCK_STEPS = (0.01, 0.5, 1.0, 3.0, 6.0, 11.0, 21.0, 31.0, 61.0, 601.0)
NEVER_JOINED = {
    *(Outcome.CANCELLED, Outcome.FAILED, Outcome.AGENT_NEVER_JOINED, Outcome.AGENT_FAILED),
    *(Outcome.NO_CAPACITY, Outcome.ROOM_LOST),
}
"""How a session may end that never had an agent."""
SECONDS_TO_HEAL = 4_000.0
FAULTS = st.sampled_from(list(Fault))
ATTEMPTS = st.integers(0, 1)
"""How many attempts before the last dispatched one a message is about."""


class Session(RuleBasedStateMachine):
    """One session in a world that fails; at its end the world is healed, and the session closes."""

    @initialize(
        place=st.sampled_from([None, PlaceState.RESERVED, PlaceState.QUEUED]),
        slot=st.booleans(),
        archive=st.booleans(),
        external=st.sampled_from([False, False, True]),
        faults=st.lists(FAULTS, max_size=3),
    )
    def start(
        self,
        place: PlaceState | None,
        slot: bool,
        archive: bool,
        external: bool,
        faults: list[Fault],
    ) -> None:
        request = SessionInput(
            org="acme",
            session_id="model",
            room_name="room",
            livekit_room="acme.room",
            caller_identity="caller",
            agent_name="agent",
            config=AgentConfig(agent_id="ag-1"),
            limits=LIMITS,
            request_digest="digest",
            slot=slot and archive,
            archive=archive,
            # Without MongoDB there are no places.
            place=place if archive else None,
        )
        self.world = World(request, external, faults=faults)
        self.simulation = Simulation(request, self.world.run_local)
        self.sent: list[tuple[str, Message]] = []
        self.jobs: dict[int, str] = {}
        self.over = False
        self.outcome: Outcome | None = None
        self.version = 0
        self.reported_caller = False

    # ── the world ────────────────────────────────────────────────────────────────────────────────

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=4))
    def fail_next_local_activities(self, faults: list[Fault]) -> None:
        self.world.faults = faults

    @precondition(lambda self: self.simulation.steps)
    @rule(which=st.integers(0, 5), fault=FAULTS)
    def end_a_step(self, which: int, fault: Fault) -> None:
        steps = list(self.simulation.steps.values())
        self._end(steps[which % len(steps)], fault)

    def _end(self, step: Step, fault: Fault) -> None:
        if step.name == "look_for_callers" and step.order["present"]:
            missing = set(step.order["present"]) - self.world.callers.keys()
            if not missing:
                return
        bounded = step.bounded and step.name != "look_for_callers"
        result, error = self.world.run(step, fault if bounded else Fault.NONE)
        if error:
            self.simulation.fail(step, error)
        else:
            self.simulation.complete(step, result)

    @precondition(lambda self: self.simulation.children)
    @rule()
    def go_on_with_a_child(self) -> None:
        child = next(iter(self.simulation.children.values()))
        if not child.under_way:
            self.simulation.start_child(child)
        else:
            ready = SummaryStatus.READY if child.name == "summary" else True
            self.simulation.complete_child(child, ready)

    @rule(seconds=st.sampled_from(CLOCK_STEPS))
    def wait(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    # ── agents ───────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.world.room and self.world.dispatched)
    @rule(before=ATTEMPTS)
    def an_agent_appears(self, before: int) -> None:
        attempt = self._attempt(before)
        self.world.agents[attempt] = f"agent-{attempt}"

    @rule(before=st.integers(-1, 1), job=st.sampled_from("ab"))
    def an_agent_claims(self, before: int, job: str) -> None:
        attempt, now = self._attempt(before), self.simulation.status()
        claim = AgentReady(attempt=attempt, job_id=job, identity=f"agent-{attempt}")
        answer = self.simulation.update("agent_ready", claim)
        if self.simulation.result is None and answer == "completed":
            assert attempt == now.attempt, "only the current attempt may be claimed"
            assert self.jobs.setdefault(attempt, job) == job, "one job has the claim"
            assert not now.state.call_is_over()

    @rule(before=ATTEMPTS, retryable=st.booleans())
    def an_agent_fails(self, before: int, retryable: bool) -> None:
        attempt = self._attempt(before)
        self._signal(
            "agent_failed",
            AgentFailed(
                event_id=f"failed:{attempt}",
                attempt=attempt,
                job_id=self.jobs.get(attempt),
                reason="no key",
                retryable=retryable,
            ),
        )

    @rule(before=ATTEMPTS)
    def an_agent_dies(self, before: int) -> None:
        attempt = self._attempt(before)
        self.world.agents.pop(attempt, None)
        lost = AgentLost(event_id=f"lost:{attempt}", attempt=attempt, reason="killed")
        self._signal("agent_lost", lost)

    @rule(before=ATTEMPTS)
    def an_agent_leaves(self, before: int) -> None:
        attempt = self._attempt(before)
        if self.world.agents.pop(attempt, None):
            kind = ParticipantKind.AGENT
            self._participant(ParticipantChange.LEFT, kind, f"agent-{attempt}", f"PA_{attempt}")

    @rule(
        before=ATTEMPTS,
        end=st.sampled_from(list(ReportEnd)),
        caller_turns=st.sampled_from([None, 0, 2]),
    )
    def a_report_comes(self, before: int, end: ReportEnd, caller_turns: int | None) -> None:
        attempt = self._attempt(before)
        self.reported_caller = self.reported_caller or caller_turns != 0
        self._signal(
            "report_received",
            ReportReceived(
                event_id=f"report:{attempt}:{end}",
                attempt=attempt,
                digest="d",
                end_reason=end,
                turn_count=2,
                caller_turns=caller_turns,
                stored=True,
            ),
        )

    # ── callers and the room ─────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.world.room)
    @rule(sid=st.sampled_from(["PA_1", "PA_2"]), told=st.booleans())
    def a_caller_joins(self, sid: str, told: bool) -> None:
        self.world.callers[sid] = "caller"
        if told:
            self.world.caller_known = True
            self._participant(ParticipantChange.JOINED, ParticipantKind.CALLER, "caller", sid)

    @rule(sid=st.sampled_from(["PA_1", "PA_2"]), told=st.booleans())
    def a_caller_leaves(self, sid: str, told: bool) -> None:
        if self.world.callers.pop(sid, None) and told:
            self.world.caller_known = True
            self._participant(ParticipantChange.LEFT, ParticipantKind.CALLER, "caller", sid)

    @precondition(lambda self: self.world.room)
    @rule()
    def livekit_closes_the_room(self) -> None:
        self.world.room = False
        self.world.agents.clear()
        self.world.callers.clear()
        event = ParticipantChanged(event_id="closed", change=ParticipantChange.ROOM_FINISHED)
        self._signal("participant_changed", event)

    # ── clients and operators ────────────────────────────────────────────────────────────────────

    @rule(reason=st.sampled_from([EndReason.END_REQUESTED, EndReason.SILENCE]))
    def somebody_ends(self, reason: EndReason) -> None:
        self._signal("end", EndRequest(event_id=f"end:{len(self.sent)}", reason=reason))

    @rule()
    def somebody_extends(self) -> None:
        self.simulation.update("extend", Extend(seconds=60))

    @rule()
    def somebody_redispatches(self) -> None:
        self.simulation.update("redispatch", Redispatch(by="ann"))

    @rule()
    def somebody_finalises(self) -> None:
        self.simulation.update("finalise", Finalise(by="ann"))

    @rule(stage=st.sampled_from(list(Stage)))
    def somebody_waits(self, stage: Stage) -> None:
        self.simulation.update("wait_until", WaitUntil(stage=stage))

    @rule()
    def somebody_cancels(self) -> None:
        self.simulation.cancel()

    @rule(position=st.sampled_from([0, 0, 1, 3]))
    def the_queue_moves(self, position: int) -> None:
        event = f"place:{len(self.sent)}"
        self._signal("place_changed", PlaceChanged(event_id=event, position=position))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 50))
    def a_message_comes_again(self, which: int) -> None:
        name, message = self.sent[which % len(self.sent)]
        before = self.simulation.status().version
        self.simulation.signal(name, message)
        assert self.simulation.status().version == before, "it changed something again"

    # ── what must hold ───────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_status_never_goes_back(self) -> None:
        if not hasattr(self, "simulation"):
            return
        status = self.simulation.status()
        assert status.version >= self.version
        assert status.state.call_is_over() or not self.over, "the call is over, and goes on"
        assert self.outcome in (None, status.outcome), "the outcome changed"
        self.version, self.outcome = status.version, status.outcome
        self.over = status.state.call_is_over()
        self._operators_see(status)

    def _operators_see(self, status: SessionStatus) -> None:
        shown = [one for one in self.simulation.attributes if "SessionState" in one]
        state, waiting = ("starting", "room")
        if shown:
            state = shown[-1]["SessionState"]
            waiting = shown[-1]["SessionWaitingFor"]
        assert (state, waiting) == (status.state, status.waiting_for), "operators see another state"

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        self._heal()
        status, simulation, world = self.simulation.status(), self.simulation, self.world
        assert simulation.result is not None, f"it never ends: {status}"
        assert simulation.result.outcome is status.outcome
        assert status.state == "closed"
        assert status.room_deleted
        assert not world.room, "the room is still there"
        assert not world.place, "the place is still held"
        assert not world.slot, "the slot is still held"
        assert sum("SessionOutcome" in one for one in simulation.attributes) == 1
        names = [step.name for step in simulation.started]
        assert names.count("summary") <= 1
        assert names.count("archive") <= 1
        if world.request.archive:
            assert world.sealed or "archive" in names, "nobody seals the transcript"
            assert world.records[-1]["state"] == "closed"
            assert world.records[-1]["room_deleted"]
        self._outcome_is_honest(status)
        simulation.replay()

    def _outcome_is_honest(self, status: SessionStatus) -> None:
        if status.joins == 0:
            assert status.outcome in NEVER_JOINED
        else:
            assert status.outcome not in {Outcome.AGENT_NEVER_JOINED, Outcome.NO_CAPACITY}
        if status.outcome is Outcome.COMPLETED:
            assert self.world.caller_known or self.reported_caller, "nobody was there"
        if status.outcome is Outcome.NO_CAPACITY:
            assert not self.world.dispatched
        assert (status.talk_seconds or 0) <= SECONDS_TO_HEAL * 10
        if status.joined_at and status.ended_at:
            assert status.ended_at >= status.joined_at
        if status.closed_at and status.ended_at:
            assert status.closed_at >= status.ended_at - timedelta(microseconds=1)

    def _heal(self) -> None:
        """From now on everything works, and time passes."""
        self.world.faults = []
        for _ in range(300):
            if self.simulation.result is not None:
                return
            self.simulation.advance(20)
            for step in list(self.simulation.steps.values()):
                if step.seq in self.simulation.steps:
                    self._end(step, Fault.NONE)
            if self.simulation.children:
                self.go_on_with_a_child()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _attempt(self, before: int) -> int:
        last = self.world.dispatched[-1] if self.world.dispatched else 1
        return max(last - before, 1)

    def _signal(self, name: str, message: Message) -> None:
        self.sent.append((name, message))
        self.simulation.signal(name, message)

    def _participant(
        self, change: ParticipantChange, kind: ParticipantKind, identity: str, sid: str
    ) -> None:
        event = f"{change}:{sid}:{len(self.sent)}"
        self._signal(
            "participant_changed",
            ParticipantChanged(
                event_id=event, change=change, kind=kind, identity=identity, sid=sid
            ),
        )
