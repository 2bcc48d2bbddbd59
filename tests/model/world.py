"""What a session's activities act on: a room, its agents and callers, a place, an archive."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from temporalio.exceptions import ApplicationError, FailureError

from domain.sessions.session import SessionInput
from tests.model.simulator import Step


class Fault(Enum):
    """What goes wrong with a step."""

    NONE = "done"
    BEFORE = "failed, and nothing was done"
    AFTER = "done, and then it timed out"


SILENT = ApplicationError("nobody answers", type="unavailable")
NOT_SEEN = ApplicationError("no agent in time", type="agent_not_seen", non_retryable=True)


@dataclass
class World:
    """Everything outside the workflow, and what goes wrong with the next local activities."""

    request: SessionInput
    external: bool
    """Whether the agents are somebody else's."""
    room: bool = False
    place: bool = False
    slot: bool = False
    dispatched: list[int] = field(default_factory=list[int])
    agents: dict[int, str] = field(default_factory=dict[int, str])
    """Identities of the agents in the room, by attempt."""
    callers: dict[str, str] = field(default_factory=dict[str, str])
    """Identities of the callers in the room, by connection."""
    caller_known: bool = False
    sealed: bool = False
    records: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[Fault] = field(default_factory=list[Fault])

    def __post_init__(self) -> None:
        self.place = self.request.place is not None
        self.slot = self.request.slot

    def run_local(self, step: Step) -> tuple[Any, FailureError | None]:
        """What a local activity gives; it uses up one fault."""
        return self.run(step, self.faults.pop(0) if self.faults else Fault.NONE)

    def run(self, step: Step, fault: Fault) -> tuple[Any, FailureError | None]:
        """What a step gives, and what it leaves behind."""
        if fault is Fault.BEFORE:
            return None, SILENT
        result, error = getattr(self, f"_{step.name}")(step.order)
        return result, error or (SILENT if fault is Fault.AFTER else None)

    def _open_room(self, _: Any) -> tuple[Any, FailureError | None]:
        self.room = True
        return "RM_1", None

    def _dispatch_agent(self, order: Any) -> tuple[Any, FailureError | None]:
        if not self.room:
            return None, ApplicationError("no such room", type="not_found", non_retryable=True)
        if order["attempt"] not in self.dispatched:
            self.dispatched.append(order["attempt"])
        return f"AD_{order['attempt']}", None

    def _seen(self, attempt: int) -> dict[str, Any]:
        self.caller_known = self.caller_known or bool(self.callers)
        return {
            "identity": self.agents[attempt],
            "foreign": self.external,
            "callers": self._callers(),
        }

    def _callers(self) -> list[dict[str, str]]:
        return [{"identity": who, "sid": sid} for sid, who in self.callers.items()]

    def _await_agent(self, order: Any) -> tuple[Any, FailureError | None]:
        there = order["attempt"] in self.agents
        return (self._seen(order["attempt"]), None) if there else (None, NOT_SEEN)

    def _look_for_agent(self, order: Any) -> tuple[Any, FailureError | None]:
        there = order["attempt"] in self.agents
        return self._seen(order["attempt"]) if there else None, None

    def _look_for_callers(self, _: Any) -> tuple[Any, FailureError | None]:
        self.caller_known = self.caller_known or bool(self.callers)
        return {"callers": self._callers(), "turns": 0}, None

    def _retract_attempts(self, order: Any) -> tuple[Any, FailureError | None]:
        gone = [attempt for attempt in self.agents if attempt <= order["up_to_attempt"]]
        return [self.agents.pop(attempt) for attempt in gone], None

    def _ask_agents_to_finish(self, _: Any) -> tuple[Any, FailureError | None]:
        if self.external:
            self.agents.clear()
        return 1, None

    def _remove_agents(self, _: Any) -> tuple[Any, FailureError | None]:
        self.agents.clear()
        return 1, None

    def _remove_callers(self, _: Any) -> tuple[Any, FailureError | None]:
        self.callers.clear()
        return 1, None

    def _seal_transcript(self, _: Any) -> tuple[Any, FailureError | None]:
        self.sealed = True
        return True, None

    def _delete_room(self, _: Any) -> tuple[Any, FailureError | None]:
        self.room = False
        self.agents.clear()
        self.callers.clear()
        return True, None

    def _free_slot(self, _: Any) -> tuple[Any, FailureError | None]:
        self.slot = False
        return True, None

    def _release_place(self, _: Any) -> tuple[Any, FailureError | None]:
        self.place = False
        return True, None

    def _count_free_places(self, _: Any) -> tuple[Any, FailureError | None]:
        return 1, None

    def _record_session(self, status: Any) -> tuple[Any, FailureError | None]:
        self.records.append(status)
        return None, None

    def _announce_session(self, _: Any) -> tuple[Any, FailureError | None]:
        return 0, None

    def _listen_to_agent(self, _: Any) -> tuple[Any, FailureError | None]:
        return 2, None
