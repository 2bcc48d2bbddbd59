"""A supervisor over small programs: `python -m tests.stack.fake_stack HOME MODE [SOURCES]`.

Each program notes its start and its end in `HOME/events` and is healthy once its file is there.
"""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from stack.layout.credentials import load_credentials
from stack.layout.environment import Addresses, Plan, build_environment
from stack.layout.home import Home, find_home
from stack.layout.parts import Part
from stack.layout.ports import Ports
from stack.layout.wanted import read_wanted
from stack.progress import Progress
from stack.supervision.health import Check, NotHealthyError
from stack.supervision.locks import try_lock
from stack.supervision.supervisor import Supervisor
from stack.up import stop_what_was_left

PROGRAM = """
import os, pathlib, signal, sys, time
name, stubborn = sys.argv[1:]
def note(what):
    with open("events", "a") as file:
        file.write(f"{what} {name}\\n")
def leave(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn == "stubborn" else leave)
note("start")
pathlib.Path(f"{name}.pid").write_text(str(os.getpid()))
print(f"{name} is here", flush=True)
while True:
    time.sleep(0.05)
"""


def fake_parts(plan: Plan, mode: str) -> list[Part]:
    """Return `temporal`, then `api`, then `agent`; what `mode` names goes wrong.

    In the mode `worker` there is a worker too.
    """
    worker = [_part(plan, "worker", ("api",), "")] if mode == "worker" else []
    return [
        _part(plan, "temporal", (), mode),
        _part(plan, "api", ("temporal",), mode),
        *worker,
        _part(plan, "agent", ("api",), mode),
    ]


def _part(plan: Plan, name: str, needs: tuple[str, ...], mode: str) -> Part:
    command = (sys.executable, "-c", PROGRAM, name, "stubborn" if mode == name else "")
    if mode == f"broken-{name}" and not (plan.home.root / "licence").exists():
        command = (sys.executable, "-c", "print('no licence found'); raise SystemExit(3)")
    if mode == f"fragile-{name}" and (plan.home.root / "broken").exists():
        command = (sys.executable, "-c", "raise SystemExit(3)")
    healthy = "never" if mode == f"held-{name}" else f"{name}.pid"
    return Part(
        name=name,
        command=command,
        environment=build_environment(name, plan),
        check=_written(plan.home.root / healthy),
        needs=needs,
        # Short for the one that has to be ended by force; the others have time for their note.
        grace_seconds=0.5 if mode == name else 60,
        start_seconds=60,
    )


def _written(path: Path) -> Check:
    def fresh(since: float) -> bool:
        return path.exists() and path.stat().st_mtime >= since - 0.1

    async def check(since: float) -> None:
        if not fresh(since):
            raise NotHealthyError(f"{path.name} is not there")

    return check


def main() -> int:
    """Run it as `everline up` runs the real one."""
    home: Home = find_home(given=Path(sys.argv[1]))
    mode = sys.argv[2]
    sources = Path(sys.argv[3]) if sys.argv[3:] else None
    home.create()
    lock = try_lock(home.lock)
    assert lock
    progress = Progress(Console(soft_wrap=True))
    stop_what_was_left(home, progress)
    credentials = load_credentials(home)
    plan = Plan(home, credentials, Addresses(Ports()), {}, read_wanted(home), {})
    supervisor = Supervisor(plan, progress, lambda plan: fake_parts(plan, mode), sources)
    with lock:
        return asyncio.run(supervisor.run())


if __name__ == "__main__":
    raise SystemExit(main())
