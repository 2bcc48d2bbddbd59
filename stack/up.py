"""`everline up`: prepares a stack and runs its supervisor."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.binaries import SERVERS, locate_servers
from stack.errors import AlreadyRunningError, StackError
from stack.layout.credentials import load_credentials
from stack.layout.environment import Addresses, Plan
from stack.layout.files import write_atomically
from stack.layout.home import CHECKOUT, Home
from stack.layout.livekit_config import livekit_config
from stack.layout.ports import choose_ports, read_ports, remember_ports, require_free_ports
from stack.layout.wanted import PART_NAMES, Wanted, write_wanted
from stack.progress import Progress
from stack.supervision.locks import is_locked, try_lock
from stack.supervision.logs import cap_log, new_lines
from stack.supervision.processes import find_leftovers, stop_leftovers
from stack.supervision.state import read_state
from stack.supervision.supervisor import Supervisor

_LEFTOVER_GRACE = 30.0


@dataclass(frozen=True)
class UpRequest:
    """The options of `everline up`.

    Attributes:
        ports: Ports by field of `Ports`; None if not given.
        arguments: All options on the command line of a detached supervisor.
    """

    wanted: Wanted = field(default_factory=Wanted)
    ports: Mapping[str, int | str | None] = field(default_factory=dict[str, "int | str | None"])
    free_ports: bool = False
    arguments: Sequence[str] = ()
    reload: bool = False


def is_running(home: Home) -> bool:
    """Tell whether a supervisor of this home is running."""
    return is_locked(home.lock)


def run_in_foreground(home: Home, request: UpRequest, progress: Progress) -> int:
    """Run the stack in this process until it is told to stop; returns the exit code.

    Raises:
        AlreadyRunningError: Another supervisor was started at the same moment.
        StackError: It cannot start.
    """
    binaries = _locate_binaries(request.wanted, progress)
    lock = try_lock(home.lock)
    if lock is None:
        raise AlreadyRunningError(f"the stack of {home.root} was started by another process")
    with lock:
        stop_what_was_left(home, progress)
        plan = _make_plan(home, request, binaries)
        sources = CHECKOUT if request.reload else None
        return asyncio.run(Supervisor(plan, progress, sources=sources).run())


def _locate_binaries(wanted: Wanted, progress: Progress) -> Mapping[str, Path]:
    if not wanted.wants("temporal") and not wanted.wants("livekit"):
        return {server.name: Path(server.name) for server in SERVERS}
    return locate_servers(progress)


def _make_plan(home: Home, request: UpRequest, binaries: Mapping[str, Path]) -> Plan:
    """Decide everything and write the configuration of the servers.

    Raises:
        StackError: A port is taken or invalid, a part is not installed, or a file is damaged.
    """
    wanted = request.wanted
    modules = {"mongodb": "secantus", "models": "faster_whisper"}
    missing = [
        part
        for part, module in modules.items()
        if wanted.wants(part) and importlib.util.find_spec(module) is None
    ]
    if missing:
        options = " ".join(f"--without {part}" for part in missing)
        raise StackError(
            f"{' and '.join(missing)} cannot start: the packages of the local stack are not "
            f"installed. Run `make setup`, or leave them out: everline up {options}"
        )
    ports = choose_ports(request.ports, os.environ, read_ports(home), pick_free=request.free_ports)
    require_free_ports(ports, [name for name in PART_NAMES if wanted.wants(name)])
    remember_ports(home, ports)
    credentials = load_credentials(home)
    addresses = Addresses(ports, mongodb=wanted.wants("mongodb"))
    write_wanted(home, wanted)
    # JSON is also YAML.
    livekit = json.dumps(livekit_config(credentials, addresses), indent=2)
    write_atomically(home.livekit_config, livekit, private=True)
    write_atomically(home.mongodb_config, "")
    return Plan(home, credentials, addresses, binaries, wanted, os.environ)


def stop_what_was_left(home: Home, progress: Progress) -> None:
    """Stop the processes that an earlier, killed supervisor left behind."""
    leftovers = find_leftovers(home)
    if leftovers:
        with progress.step("clean up", f"{len(leftovers)} processes of an earlier run"):
            stop_leftovers(leftovers, _LEFTOVER_GRACE)


def run_detached(home: Home, request: UpRequest, progress: Progress) -> int:
    """Start the stack in the background, and show its log until it runs.

    If interrupted before that, stop it again.

    Returns:
        The exit code: 0 if it runs, 1 if it did not start.
    """
    _locate_binaries(request.wanted, progress)
    log = home.log("supervisor")
    cap_log(log)
    with log.open("ab") as output:
        position = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "--home", str(home.root), "up", *request.arguments],
            stdin=subprocess.DEVNULL,
            # It writes the log itself, without the API key that it prints; errors go there too.
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    try:
        while True:
            ended = process.poll()
            state = read_state(home)
            lines, position = new_lines(log, position)
            for line in lines:
                progress.say(line)
            if ended is not None:
                if ended == 0 and is_running(home):
                    progress.say(f"the stack of {home.root} was started by another process")
                    return 0
                return ended or 1
            if state.supervisor_pid == process.pid and state.state in ("running", "degraded"):
                # The log does not contain it.
                progress.say(f"  {'API key':<12} {load_credentials(home).api_key}\n")
                return 0
            time.sleep(0.1)
    except BaseException:
        process.terminate()
        process.wait()
        raise
