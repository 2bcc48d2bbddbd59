"""The processes of a stack's parts: frozen, and kept from writing files."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.machine.faults import Part
from tests.harness.rig import Rig
from tests.waiting import eventually

ANY_PID = -1


async def running(rig: Rig, part: Part) -> psutil.Process:
    """A part's process, once the supervisor says that it is healthy."""
    return psutil.Process(await rig.stack.wait_restarted(part, ANY_PID))


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """A process with all that it has started, itself first."""
    return [process, *process.children(recursive=True)]


def suspend(processes: Sequence[psutil.Process]) -> None:
    """SIGSTOP; who has ended meanwhile is passed over."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def resume(processes: Sequence[psutil.Process]) -> None:
    """SIGCONT; who was killed meanwhile is passed over."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@dataclass(frozen=True)
class NoFiles:
    """Keeps a process and its children from writing to any file, as a full disk does."""

    process: psutil.Process

    def begin(self) -> None:
        """No file may grow any more."""
        self._limit(full=True)

    async def end(self) -> None:
        """Files may grow again, also in processes that were started meanwhile."""
        await eventually(lambda: not self._limit(full=False))

    def _limit(self, *, full: bool) -> bool:
        """Set the limit; tells whether any process had another one."""
        changed = False
        try:
            processes = with_children(self.process)
        except psutil.NoSuchProcess:
            return False
        for process in processes:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                wanted = 0 if full else hard
                process.rlimit(psutil.RLIMIT_FSIZE, (wanted, hard))
                changed = changed or soft != wanted
        return changed
