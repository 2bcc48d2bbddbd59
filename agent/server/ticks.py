"""Ticks: how a job proves to its agent server that its event loop runs.

The SDK has no public channel from a job's process to its server, so the server opens one: a Unix
datagram socket to which all jobs send ticks, twice a second, and a final message when they have
handed in their report. A tick also tells whether the job sees its caller in the room. Nothing is
written to a disk, which may stall, and no clocks are compared: the server notes the arrival.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

TICK_SECONDS = 0.5
ADDRESS_VARIABLE = "EVERLINE_TICKS"
"""How job processes, which inherit the environment, learn where the socket of their server is."""
_LONGEST_NAP = 4 * TICK_SECONDS
"""If the server itself slept for longer, its jobs may have ticked all the time."""
_TICK, _DONE, _CALLER = "tick ", "done ", " caller "
_LONGEST_MESSAGE = 250


class TickSocket:
    """The server's end. Open it before the first job process is started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, tuple[float, str | None]] = {}
        """By job: when its last tick arrived, and the caller that it named."""
        self._done: set[str] = set()
        self._looked_at = clock()
        # Not in the spool: a socket's path may have 100 characters at most.
        self._folder = tempfile.mkdtemp(prefix="everline-")
        self._address = str(Path(self._folder) / "ticks")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        self._socket.bind(self._address)
        os.environ[ADDRESS_VARIABLE] = self._address
        return self

    def __exit__(self, *_: object) -> None:
        os.environ.pop(ADDRESS_VARIABLE, None)
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ages(self, jobs: Collection[str]) -> dict[str, float]:
        """Seconds since the last tick of these jobs, without those that never ticked or are done.

        Call it about as often as jobs tick: time that the server slept is not counted. Other jobs
        are forgotten.
        """
        now = self._clock()
        if now - self._looked_at > _LONGEST_NAP:
            self._last = {job: (now, caller) for job, (_, caller) in self._last.items()}
        self._looked_at = now
        self._receive(now)
        self._last = {job: tick for job, tick in self._last.items() if job in jobs}
        self._done.intersection_update(jobs)
        return {job: now - at for job, (at, _) in self._last.items() if job not in self._done}

    def caller(self, job_id: str) -> str | None:
        """The caller's connection as the job's last tick named it; see `JobTick.caller`."""
        return self._last[job_id][1] if job_id in self._last else None

    def is_done(self, job_id: str) -> bool:
        """Whether a job has said that its report is handed in, or in the spool."""
        self._receive(self._clock())
        return job_id in self._done

    def _receive(self, now: float) -> None:
        while True:
            try:
                message = self._socket.recv(_LONGEST_MESSAGE).decode("utf-8", "replace")
            except BlockingIOError:
                return
            if message.startswith(_TICK):
                job_id, says, caller = message.removeprefix(_TICK).partition(_CALLER)
                self._last[job_id] = (now, caller if says else None)
            elif message.startswith(_DONE):
                self._done.add(message.removeprefix(_DONE))


async def tick_forever(job_id: str, caller: Callable[[], str | None] = lambda: None) -> None:
    """Send a job's ticks from its event loop until cancelled.

    `caller` gives the caller's connection as in `JobTick.caller`.
    """
    while True:
        sid = caller()
        _send(_TICK + job_id + ("" if sid is None else _CALLER + sid))
        await asyncio.sleep(TICK_SECONDS)


def say_done(job_id: str) -> None:
    """Tell the server that the end of this job's process is no loss from now on."""
    _send(_DONE + job_id)


def _send(message: str) -> None:
    address = os.environ.get(ADDRESS_VARIABLE)
    if address is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        # A full socket means that the server sleeps, a missing one that it is gone: ignore both.
        with suppress(OSError):
            sender.sendto(message.encode(), address)
