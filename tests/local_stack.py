"""A stack controlled by a program: tests and benchmarks start one and break it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from stack.errors import StackError
from stack.layout.credentials import Credentials, load_credentials
from stack.layout.home import Home, find_home
from stack.layout.ports import Ports, read_ports
from stack.supervision.control import await_end, await_running, await_started, change_parts
from stack.supervision.state import ProcessState, StackState, Urls, read_state

THIS_PYTHON = Path(sys.executable)
_START_SECONDS = 1800.0  # the first start on a machine builds the servers


class LocalStack:
    """A running stack in a home."""

    def __init__(self, home: Home, python: Path = THIS_PYTHON) -> None:
        self.home = home
        self.python = python

    @classmethod
    async def start(
        cls,
        home: Path,
        *,
        without: Iterable[str] = (),
        settings: Mapping[str, Mapping[str, str]] | None = None,
        python: Path = THIS_PYTHON,
    ) -> "LocalStack":
        """Start a stack on free ports in the background and wait until all of it is healthy.

        Without the part `mongodb`, `MONGODB_URI` is unset. `settings` are additional environment
        variables by part. The home may have been used before. `python` is that of the release whose
        stack it is.

        Raises:
            StackError: It did not start; the message contains the command's output.
        """
        words = ["--free-ports", *(f"--without={name}" for name in without)]
        for part, values in (settings or {}).items():
            words += [f"--set={part}:{name}={value}" for name, value in values.items()]
        await _everline(python, home, "up", "--detach", *words)
        return cls(find_home(given=home), python)

    @classmethod
    async def find(cls) -> "LocalStack | None":
        """Return the running stack of `EVERLINE_HOME`, waiting if it is starting."""
        found = find_home()
        state = await asyncio.to_thread(await_started, found)
        return cls(found) if state.supervisor_pid is not None else None

    async def stop(self) -> None:
        """Stop the stack and everything that it started."""
        await _everline(self.python, self.home.root, "down")

    @property
    def state(self) -> StackState:
        """What is running."""
        return read_state(self.home)

    @property
    def urls(self) -> Urls:
        """Addresses of its parts."""
        return self.state.urls

    @property
    def ports(self) -> Ports:
        """Its ports."""
        ports = read_ports(self.home)
        assert ports is not None
        return ports

    @property
    def credentials(self) -> Credentials:
        """Its keys."""
        return load_credentials(self.home)

    @property
    def api_key(self) -> str:
        """The value of `x-api-key`."""
        return self.credentials.api_key

    def process(self, name: str) -> ProcessState:
        """Return the state of one part."""
        return self.state.process(name)

    def log(self, name: str) -> str:
        """Return the whole log of a part."""
        return self.home.log(name).read_text(encoding="utf-8", errors="replace")

    async def start_part(self, name: str, settings: Mapping[str, str] | None = None) -> int:
        """Start a part, perhaps with more environment variables; returns its pid once healthy."""
        given = {name: settings} if settings else None
        await asyncio.to_thread(change_parts, self.home, start=[name], settings=given)
        return self._pid(name)

    async def stop_part(self, name: str) -> None:
        """Stop a part; it is not restarted."""
        await asyncio.to_thread(change_parts, self.home, stop=[name])

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part's process; returns its process id, for `wait_restarted`."""
        pid = self._pid(name)
        os.kill(pid, number)
        return pid

    async def wait_restarted(self, name: str, killed: int) -> int:
        """Wait until a part that had the pid `killed` is healthy again; returns its new pid."""
        process = await asyncio.to_thread(await_running, self.home, name, other_than=killed)
        assert process.pid is not None
        return process.pid

    async def kill_everything(self) -> None:
        """Kill the supervisor and all its processes, as a power failure would."""
        state = self.state
        pids = [state.supervisor_pid, *(process.pid for process in state.processes)]
        for pid in filter(None, pids):
            # On Linux, the others end with the supervisor.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(await_end, self.home)

    def _pid(self, name: str) -> int:
        pid = self.process(name).pid
        if pid is None:
            raise StackError(f"{name} does not run: {self.process(name)}")
        return pid


@asynccontextmanager
async def local_stack(
    home: Path,
    *,
    without: Iterable[str] = (),
    settings: Mapping[str, Mapping[str, str]] | None = None,
) -> AsyncGenerator[LocalStack]:
    """Run a stack on free ports while the block runs."""
    stack = await LocalStack.start(home, without=without, settings=settings)
    try:
        yield stack
    finally:
        await stack.stop()


async def _everline(python: Path, home: Path, *words: str) -> str:
    """Run the command and return its output."""
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "cli", "--home", str(home), *words),
        cwd=home.parent,  # its own packages, not those of this folder
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _START_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode("utf-8", errors="replace")
    if process.returncode != 0:
        raise StackError(f"everline {' '.join(words)} ended with {process.returncode}:\n{text}")
    return text
