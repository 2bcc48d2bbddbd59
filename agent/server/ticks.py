"""Ticks: how a job proves to its agent server that its event loop runs.

The SDK has no public channel from a job's process to its server, so the server opens one: a Unix
datagram socket to which all jobs send ticks, twice a second, and a final message when they have
handed in their report. A tick also tells whether the job sees its caller in the room, and whether
the caller waits for an answer; when that changes, it is sent within `CHECK_SECONDS`. Nothing is
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

TICK_SECONDS = 0.5
CHECK_SECONDS = 0.1
ADDRESS_VARIABLE = "EVERLINE_TICKS"
"""How job processes, which inherit the environment, learn where the socket of their server is."""
_LONGEST_NAP = 4 * TICK_SECONDS
"""If the server itself slept for longer, its jobs may have ticked all the time."""
_TICK, _DONE, _CALLER, _UNANSWERED = "tick ", "done ", " caller ", " unanswered"
_LONGEST_MESSAGE = 250


@dataclass(frozen=True)
class _Tick:
    at: float
    caller: str | None
    unanswered: bool


class TickSocket:
    """The server's end. Open it before the first job process is started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, _Tick] = {}
        """By job."""
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
            self._last = {job: replace(tick, at=now) for job, tick in self._last.items()}
        self._looked_at = now
        self._receive(now)
        self._last = {job: tick for job, tick in self._last.items() if job in jobs}
        self._done.intersection_update(jobs)
        return {job: now - tick.at for job, tick in self._last.items() if job not in self._done}

    def caller(self, job_id: str) -> str | None:
        """The caller's connection as the job's last tick named it; see `JobTick.caller`."""
        return self._last[job_id].caller if job_id in self._last else None

    def unanswered(self, job_id: str) -> bool:
        """Whether the caller waited for an answer at the job's last tick."""
        self._receive(self._clock())
        return job_id in self._last and self._last[job_id].unanswered

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
                job, says, caller = message.removeprefix(_TICK).partition(_CALLER)
                job_id, unanswered, _ = job.partition(_UNANSWERED)
                self._last[job_id] = _Tick(now, caller if says else None, bool(unanswered))
            elif message.startswith(_DONE):
                self._done.add(message.removeprefix(_DONE))


async def tick_forever(
    job_id: str,
    caller: Callable[[], str | None] = lambda: None,
    unanswered: Callable[[], bool] = lambda: False,
) -> None:
    """Send a job's ticks from its event loop until cancelled.

    `caller` and `unanswered` give what `JobTick` says of the caller.
    """
    sent, due = "", 0.0
    while True:
        sid = caller()
        tick = _TICK + job_id + (_UNANSWERED if unanswered() else "")
        tick += "" if sid is None else _CALLER + sid
        if tick != sent or time.monotonic() >= due:
            _send(tick)
            sent, due = tick, time.monotonic() + TICK_SECONDS
        await asyncio.sleep(CHECK_SECONDS)


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
