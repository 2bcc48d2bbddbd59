"""What runs right now: written by the supervisor, read by everybody else."""

import os
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from stack.errors import StackError
from stack.layout.files import write_atomically
from stack.layout.home import Home
from stack.supervision.locks import is_locked

PartState = Literal[
    "waiting",
    "starting",
    "running",
    "unhealthy",
    "restarting",
    "stopping",
    "stopped",
    "failed",
    "left_out",
]
StackPhase = Literal["starting", "running", "degraded", "stopping", "stopped", "failed"]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class ProcessState(_Camel):
    """One process of the stack.

    Attributes:
        name: Its part's name.
        pid: Its process id while it runs.
        state: What it is doing.
        log: Path of its log file.
        restarts: How often it was started again because it died or was not healthy.
        last_restart: Why it was started again the last time.
        since: When it was started, in seconds of the Unix clock.
        reason: Why it is not running, if it is not.
    """

    name: str
    pid: int | None = None
    state: PartState = "waiting"
    log: str = ""
    restarts: int = 0
    last_restart: str = ""
    since: float | None = None
    reason: str = ""


class Urls(_Camel):
    """Where the stack is reached; nothing for what was left out."""

    api: str | None = None
    console: str | None = None
    livekit: str | None = None
    temporal: str | None = None
    temporal_ui: str | None = None
    mongodb: str | None = None


class StackState(_Camel):
    """The whole stack.

    Attributes:
        state: `degraded` means: it ran, and a part of it does not right now.
        urls: Where its parts are reached.
        processes: Its parts in the order in which they start.
        supervisor_pid: The process that keeps it alive.
        supervisor_started: When that process was started, to tell it from a later one with its id.
        wish: Revision of the wish (`stack.layout.wanted`) that was last taken up: what was to be
            stopped is stopped, and what was to be started is at least under way.
    """

    state: StackPhase = "stopped"
    urls: Urls = Field(default_factory=Urls)
    processes: list[ProcessState] = Field(default_factory=list[ProcessState])
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    wish: int = 0

    def process(self, name: str) -> ProcessState:
        """Return one process.

        Raises:
            KeyError: There is none of that name.
        """
        for process in self.processes:
            if process.name == name:
                return process
        raise KeyError(name)


def write_state(home: Home, state: StackState) -> None:
    """Replace the state file."""
    write_atomically(home.state, state.model_dump_json(by_alias=True, indent=2))


def read_state(home: Home) -> StackState:
    """Return the stack's state; everything is `stopped` when no supervisor is alive.

    Raises:
        StackError: A stack runs, and the file is damaged. Without one, it does not matter.
    """
    state = _read_file(home)
    if is_locked(home.lock):
        if state is None:
            raise StackError(
                f"{home.state} is damaged, and a stack runs: end the process that holds "
                f"{home.lock}, then `everline up` cleans up and starts it again"
            )
    else:
        state = state or StackState()
        if state.state != "failed":
            state.state = "stopped"
        state.supervisor_pid = None
        state.urls = Urls()
        for process in state.processes:
            process.pid = None
            if process.state not in ("failed", "left_out"):
                process.state = "stopped"
    return state


def _read_file(home: Home) -> StackState | None:
    """Return what was written; nothing if that is damaged."""
    if not home.state.exists():
        return StackState()
    try:
        return StackState.model_validate_json(home.state.read_text(encoding="utf-8"))
    except ValidationError:
        return None


def own_start_time() -> float:
    """Return when this process was started."""
    return psutil.Process(os.getpid()).create_time()


def find_supervisor(state: StackState) -> psutil.Process | None:
    """Return the supervisor's process, making sure that it is not another with its old id."""
    if state.supervisor_pid is None or state.supervisor_started is None:
        return None
    try:
        process = psutil.Process(state.supervisor_pid)
        same = abs(process.create_time() - state.supervisor_started) < 1.0
    except psutil.NoSuchProcess:
        return None
    return process if same else None
