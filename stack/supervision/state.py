"""What is running: written by the supervisor, read by everybody else."""

from contextlib import suppress
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
        restarts: How often it was restarted because it died or was unhealthy.
        last_restart: Reason of the last restart.
        since: Unix time of its start, in seconds.
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
    """Addresses of the stack; None for parts that were left out."""

    api: str | None = None
    console: str | None = None
    livekit: str | None = None
    temporal: str | None = None
    temporal_ui: str | None = None
    mongodb: str | None = None


class StackState(_Camel):
    """The whole stack.

    Attributes:
        state: `degraded` means that it started, and a part of it is not running now.
        processes: Its parts in their start order.
        supervisor_started: Unix time; tells the supervisor from a later process with its id.
        revision: Revision of the desired state (`stack.layout.wanted`) that was last applied: what
            had to stop is stopped, and what had to start is starting.
    """

    state: StackPhase = "stopped"
    urls: Urls = Field(default_factory=Urls)
    processes: list[ProcessState] = Field(default_factory=list[ProcessState])
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    revision: int = Field(default=0, validation_alias="wish", serialization_alias="wish")

    def process(self, name: str) -> ProcessState:
        """Return one process.

        Raises:
            KeyError: There is none of that name.
        """
        return {process.name: process for process in self.processes}[name]


def write_state(home: Home, state: StackState) -> None:
    """Replace the state file."""
    write_atomically(home.state, state.model_dump_json(by_alias=True, indent=2))


def read_state(home: Home) -> StackState:
    """Return the stack's state; without a live supervisor everything is `stopped`.

    Raises:
        StackError: A stack is running and its state file is damaged.
    """
    damaged, state = False, StackState()
    try:
        state = StackState.model_validate_json(home.state.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        pass  # it never ran
    except ValidationError:
        damaged = True
    if is_locked(home.lock):
        if damaged:
            raise StackError(
                f"{home.state} is damaged, and a stack is running: end the process that holds "
                f"{home.lock}, then `everline up` cleans up and starts it again"
            )
        return state
    if state.state != "failed":
        state.state = "stopped"
    state.supervisor_pid = None
    state.urls = Urls()
    for process in state.processes:
        process.pid = None
        if process.state not in ("failed", "left_out"):
            process.state = "stopped"
    return state


def find_supervisor(state: StackState) -> psutil.Process | None:
    """Return the supervisor's process, unless its id belongs to another process now."""
    if state.supervisor_pid is not None and state.supervisor_started is not None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.supervisor_pid)
            if abs(process.create_time() - state.supervisor_started) < 1.0:
                return process
    return None
