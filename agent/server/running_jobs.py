"""The jobs of an agent server: running, hung and lost ones."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog
from livekit.agents.job import RunningJobInfo

from agent.call.metadata import job_ref
from agent.server.agent_server import CountingAgentServer
from agent.server.ticks import TickSocket
from agent.spool import Disk, DiskHangs, undelivered_turns
from domain.agents.servers import JobRef, JobTick, LostJob

log = structlog.stdlib.get_logger(__name__)

_MOST_LOST = 1_000
"""Unacknowledged losses; more would not fit into a heartbeat."""
_SPOOL_SECONDS = 0.5
"""How long reading the spool may delay the news of a loss."""


class RunningJobs:
    """Names running jobs with the age of their ticks, and collects the lost ones.

    A job whose event loop is silent for too long is killed: a replaced agent must not come back,
    and a hung process would keep its slot for another minute.
    """

    def __init__(
        self,
        server: CountingAgentServer,
        ticks: TickSocket,
        longest_silence: float,
        spool: Path | None = None,
    ) -> None:
        self._server = server
        self._ticks = ticks
        self._longest_silence = longest_silence
        self.changed = asyncio.Event()
        """Set whenever a slot is taken or freed, and whenever a job is lost."""
        self._refs: dict[str, JobRef] = {}
        self._hung: dict[str, str] = {}
        self._lost: dict[str, LostJob] = {}
        self._spool = spool
        self._disk = Disk(_SPOOL_SECONDS)
        self._unread: set[str] = set()
        """Lost jobs whose turns in the spool are not known yet."""
        server.on_process_closed(self._closed)
        server.on_change = self.changed.set

    def check(self) -> list[JobTick]:
        """The running jobs; kills those that hang."""
        running = {info.job.id: info.job for info in self._server.active_jobs}
        self._refs = {id_: self._refs.get(id_) or job_ref(job) for id_, job in running.items()}
        self._hung = {job_id: why for job_id, why in self._hung.items() if job_id in running}
        ages = self._ticks.ages(running)
        for job_id, age in ages.items():
            if age > self._longest_silence and job_id not in self._hung:
                self._hung[job_id] = f"its process did not answer for {age:.1f} s and was killed"
                log.error("job_hangs", job_id=job_id, seconds=round(age, 1))
                self._kill(job_id)
        return [
            JobTick(
                **ref.model_dump(),
                tick_age=round(max(ages[job_id], 0.0), 2) if job_id in ages else None,
                caller=self._ticks.caller(job_id),
                unanswered=self._ticks.unanswered(job_id),
            )
            for job_id, ref in self._refs.items()
        ]

    @property
    def free(self) -> int:
        """Slots for further jobs."""
        return self._server.free

    @property
    def lost(self) -> list[LostJob]:
        """The lost jobs that are not acknowledged, the oldest first."""
        return list(self._lost.values())

    async def read_spool(self) -> None:
        """Note which turn of each lost job waits in the spool, so that the next agent awaits it."""
        while self._unread:
            job_id = self._unread.pop()
            loss = self._lost.get(job_id)
            key = loss.key if loss else None
            if loss is None or key is None or self._spool is None:
                continue
            read = partial(undelivered_turns, self._spool, key.org, key.session_id)
            try:
                waiting = await self._disk.ask(read)
            except DiskHangs as error:
                # Later: the heartbeat keeps other calls alive, and does not wait for each loss.
                self._unread.add(job_id)
                log.error("spool_unreadable", error=str(error))
                return
            except OSError as error:
                log.error("spool_unreadable", error=str(error))
                continue
            ids = [turn.item_id for turn in waiting if turn.attempt == loss.attempt]
            if ids and loss.job_id in self._lost:
                known = loss.model_copy(update={"undelivered_turn": ids[-1]})
                self._lost[loss.job_id] = known

    def acknowledged(self, lost: Sequence[LostJob]) -> None:
        """Forget losses that the API has accepted."""
        for each in lost:
            self._lost.pop(each.job_id, None)

    def stop(self, job_ids: Sequence[str]) -> None:
        """Kill jobs whose calls other agents took over while this server was unreachable.

        Without delay, so that two agents never talk in a room; their turns are in the spool.
        """
        for job_id in job_ids:
            if self._kill(job_id):
                log.warning("job_stopped", job_id=job_id, why="another agent has its call")

    def _kill(self, job_id: str) -> bool:
        pid = self._server.pid_of(job_id)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def _closed(self, info: RunningJobInfo, exit_code: int | None) -> None:
        if exit_code == 0 or self._ticks.is_done(info.job.id):
            return
        ref = job_ref(info.job)
        reason = self._hung.pop(ref.job_id, f"its process ended with code {exit_code}")
        log.error("job_lost", job_id=ref.job_id, session_id=ref.session_id, reason=reason)
        unanswered = self._ticks.unanswered(ref.job_id)
        self._lost[ref.job_id] = LostJob(**ref.model_dump(), reason=reason, unanswered=unanswered)
        self._unread.add(ref.job_id)
        if len(self._lost) > _MOST_LOST:
            del self._lost[next(iter(self._lost))]
        self.changed.set()
