"""What an agent server says of its jobs: which run, which hang, which were lost, in time."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest
from livekit import api
from livekit.agents.job import RunningJobInfo

from agent.server.agent_server import CountingAgentServer
from agent.server.heartbeat import HeartbeatSender
from agent.server.running_jobs import RunningJobs
from agent.server.ticks import TickSocket
from agent.spool import Record, RecordKind
from domain.agents.servers import Heartbeat, JobTick, LostJob
from tests.agent.call.test_metadata import TEXT
from tests.agent.samples import append, new_entry, target_of_nobody, turn, turn_record
from tests.agent.server.test_agent_server import SETTINGS, job, running
from tests.fakes.callback_api import CallbackApi
from tests.waiting import eventually

SILENCE = 5.0


class Pool(CountingAgentServer):
    """The real server with given running jobs and processes, as its process pool would name them.

    That the pool does name them is shown with a real one in `test_live_call.py`.
    """

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.jobs: Sequence[RunningJobInfo] = ()
        self.pids: dict[str, int] = {}
        self.closed: Callable[[RunningJobInfo, int | None], None] = lambda info, code: None

    @property
    def active_jobs(self) -> list[RunningJobInfo]:
        return list(self.jobs)

    def on_process_closed(self, handle: Callable[[RunningJobInfo, int | None], None]) -> None:
        self.closed = handle

    def pid_of(self, job_id: str) -> int | None:
        return self.pids.get(job_id)


class Ages(TickSocket):
    """Ticks as they are told."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.callers: dict[str, str | None] = {}
        self.waiting: set[str] = set()
        self.done: set[str] = set()

    def ages(self, jobs: Collection[str]) -> dict[str, float]:
        return {job: age for job, age in self.known.items() if job in jobs}

    def caller(self, job_id: str) -> str | None:
        return self.callers.get(job_id)

    def unanswered(self, job_id: str) -> bool:
        return job_id in self.waiting

    def is_done(self, job_id: str) -> bool:
        return job_id in self.done


class Jobs(RunningJobs):
    """Given jobs."""

    def __init__(self, *lost: LostJob) -> None:
        self.changed = asyncio.Event()
        self._given = list(lost)
        self.stopped: list[str] = []

    @property
    def free(self) -> int:
        return 3

    @property
    def lost(self) -> list[LostJob]:
        return self._given

    async def read_spool(self) -> None:
        pass

    def check(self) -> list[JobTick]:
        return [JobTick(job_id="AJ_1", tick_age=0.5)]

    def acknowledged(self, lost: Sequence[LostJob]) -> None:
        self._given = [each for each in self._given if each not in lost]

    def stop(self, job_ids: Sequence[str]) -> None:
        self.stopped += job_ids


def lost_job(number: int) -> LostJob:
    return LostJob(job_id=f"AJ_{number}", reason="its process ended with code -9")


@pytest.fixture
async def pool() -> Pool:
    return Pool()


@pytest.fixture
def ages() -> Ages:
    return Ages()


@pytest.fixture
def jobs(pool: Pool, ages: Ages) -> RunningJobs:
    return RunningJobs(pool, ages, SILENCE)


async def test_a_look_names_the_session_and_the_tick_of_each_job(
    pool: Pool, ages: Ages, jobs: RunningJobs
) -> None:
    pool.jobs = running(job(1, TEXT), job(2, "not ours"))
    ages.known = {"AJ_1": 0.4}
    ages.callers = {"AJ_1": "PA_1"}

    assert jobs.check() == [
        JobTick(
            job_id="AJ_1", org="local", session_id="s1", attempt=3, tick_age=0.4, caller="PA_1"
        ),
        JobTick(job_id="AJ_2"),
    ]
    pool.jobs = pool.jobs[1:]
    assert [tick.job_id for tick in jobs.check()] == ["AJ_2"]


async def test_a_tick_and_a_loss_tell_whether_the_caller_waits_for_an_answer(
    pool: Pool, ages: Ages, jobs: RunningJobs
) -> None:
    pool.jobs = running(job(1, TEXT), job(2, TEXT))
    ages.waiting = {"AJ_1"}

    assert [tick.unanswered for tick in jobs.check()] == [True, False]
    for each in pool.jobs:
        pool.closed(each, -9)
    assert [(lost.job_id, lost.unanswered) for lost in jobs.lost] == [
        ("AJ_1", True),
        ("AJ_2", False),
    ]


async def test_a_loss_names_the_last_turn_that_waits_in_the_spool(
    pool: Pool, ages: Ages, tmp_path: Path
) -> None:
    jobs = RunningJobs(pool, ages, SILENCE, tmp_path)
    pool.jobs = running(job(1, TEXT), job(2, TEXT), job(3, "not ours"))
    other = target_of_nobody().model_copy(update={"org": "local", "session_id": "s1"})
    entry = new_entry(tmp_path, other.model_copy(update={"attempt": 3}))
    for seq in (0, 1):
        append(
            entry, Record(kind=RecordKind.TURN, body=turn(seq, attempt=3).model_dump(mode="json"))
        )
    append(entry, turn_record(7))
    pool.closed(pool.jobs[0], -9)
    pool.closed(pool.jobs[2], -9)
    await jobs.read_spool()

    assert [lost.undelivered_turn for lost in jobs.lost] == ["item_3_1", None]
    jobs.acknowledged(jobs.lost)
    entry.remove()
    pool.closed(pool.jobs[1], -9)
    await jobs.read_spool()
    assert [lost.undelivered_turn for lost in jobs.lost] == [None], "all is delivered"


async def test_the_spool_is_delivered_as_soon_as_a_loss_is_told_or_the_api_is_back() -> None:
    async with CallbackApi() as api:
        delivered: list[int] = []
        sender = HeartbeatSender(
            SETTINGS,
            api.url,
            Jobs(lost_job(1)),
            lambda: False,
            delivered=lambda: delivered.append(len(api.of("heartbeat"))),
        )
        try:
            assert await sender.beat()
            assert await sender.beat()
            api.outage = 503
            assert not await sender.beat()
            api.outage = None
            assert await sender.beat()
        finally:
            await sender.aclose()

    assert delivered == [1, 4]


async def test_a_job_of_a_newer_version_is_named_as_well(pool: Pool, jobs: RunningJobs) -> None:
    newer = json.loads(TEXT) | {"mood": "glad"}
    newer["everline"] |= {"region": "north"}
    unreadable = newer | {"prompt": 7}
    first, second = running(job(1, json.dumps(newer)), job(2, json.dumps(unreadable)))
    pool.jobs = [first, second]
    jobs.check()
    pool.closed(first, -9)
    pool.closed(second, -9)

    assert [(one.job_id, one.org, one.session_id, one.attempt) for one in jobs.check()] == [
        ("AJ_1", "local", "s1", 3),
        ("AJ_2", "local", "s1", 3),
    ]
    assert [(one.org, one.session_id, one.attempt) for one in jobs.lost] == [("local", "s1", 3)] * 2


async def test_a_job_that_hangs_is_killed_and_its_loss_names_the_cause(
    pool: Pool, ages: Ages, jobs: RunningJobs
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])  # noqa: ASYNC220 - returns at once
    pool.jobs, pool.pids = running(job(1, TEXT)), {"AJ_1": process.pid}
    ages.known = {"AJ_1": SILENCE - 0.1}
    jobs.check()
    assert process.poll() is None
    ages.known = {"AJ_1": SILENCE + 0.1}

    jobs.check()
    exit_code = await asyncio.to_thread(process.wait)
    pool.closed(pool.jobs[0], exit_code)

    assert exit_code == -9
    [lost] = jobs.lost
    assert (lost.org, lost.session_id, lost.attempt) == ("local", "s1", 3)
    assert "did not answer for 5.1 s" in lost.reason
    assert jobs.changed.is_set()


async def test_a_process_that_dies_is_a_loss_until_that_is_acknowledged(
    pool: Pool, jobs: RunningJobs
) -> None:
    [info] = running(job(1, TEXT))
    pool.closed(info, -9)
    lost = jobs.lost

    assert [(each.job_id, each.attempt, each.reason) for each in lost] == [
        ("AJ_1", 3, "its process ended with code -9")
    ]
    pool.closed(running(job(2))[0], 1)
    jobs.acknowledged(lost)
    assert [each.job_id for each in jobs.lost] == ["AJ_2"]


async def test_a_job_that_has_finished_is_no_loss_however_its_process_ends(
    pool: Pool, ages: Ages, jobs: RunningJobs
) -> None:
    first, second = running(job(1, TEXT), job(2, TEXT))
    ages.done = {"AJ_2"}

    pool.closed(first, 0)
    pool.closed(second, -11)

    assert jobs.lost == []


async def test_jobs_that_others_have_taken_over_are_killed(pool: Pool, jobs: RunningJobs) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])  # noqa: ASYNC220 - returns at once
    pool.jobs, pool.pids = running(job(1, TEXT)), {"AJ_1": process.pid}

    jobs.stop(["AJ_1", "AJ_gone"])

    assert await asyncio.to_thread(process.wait) == -9


async def test_a_heartbeat_is_signed_as_livekit_signs_its_webhooks() -> None:
    async with CallbackApi() as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, Jobs(), lambda: True)
        await eventually(heart.beat, 30)
        await heart.aclose()
        received = callbacks.of("heartbeat")[-1]

    secret = SETTINGS.livekit_api_secret.get_secret_value()
    claims = api.TokenVerifier("key", secret).verify(received.authorization)
    digest = hashlib.sha256(received.raw.encode()).digest()
    assert base64.b64decode(str(claims.sha256)) == digest
    heartbeat = Heartbeat.model_validate(received.body)
    assert (heartbeat.agent_name, heartbeat.max_jobs, heartbeat.draining) == ("tester", 4, True)
    assert heartbeat.free == 0, "a server that drains takes no call"
    assert heartbeat.jobs == Jobs().check()


async def test_a_heartbeat_says_how_many_calls_there_is_room_for() -> None:
    draining = False
    async with CallbackApi() as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, Jobs(), lambda: draining)
        beating = asyncio.create_task(heart.beat_forever())
        await callbacks.wait_for(lambda: bool(callbacks.of("heartbeat")))
        draining = True
        await callbacks.wait_for(lambda: callbacks.of("heartbeat")[-1].body["draining"])
        beating.cancel()
        await heart.aclose()
        first, last = callbacks.of("heartbeat")[0].body, callbacks.of("heartbeat")[-1].body

    assert (first["free"], last["free"]) == (3, 0)


async def test_a_loss_is_repeated_until_the_api_has_taken_it() -> None:
    jobs = Jobs(lost_job(1))
    async with CallbackApi(outage=503) as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, jobs, lambda: False)
        beating = asyncio.create_task(heart.beat_forever())
        await callbacks.wait_for(lambda: len(callbacks.of("heartbeat")) >= 2)
        assert jobs.lost == [lost_job(1)]
        callbacks.outage = None
        await callbacks.wait_for(lambda: callbacks.of("heartbeat")[-1].body["lost"] == [])
        beating.cancel()
        await heart.aclose()

    told = [len(beat.body["lost"]) for beat in callbacks.of("heartbeat") if beat.status == 200]
    assert told[:2] == [1, 0]
    numbers = [beat.body["number"] for beat in callbacks.of("heartbeat")]
    assert numbers == list(range(1, len(numbers) + 1)), "the last one can be told from the others"


async def test_an_answer_that_cannot_be_unpacked_ends_no_heartbeats() -> None:
    jobs = Jobs(lost_job(1))
    async with CallbackApi(garbled=True) as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, jobs, lambda: False)
        beating = asyncio.create_task(heart.beat_forever())
        await callbacks.wait_for(lambda: len(callbacks.of("heartbeat")) >= 2)
        assert jobs.lost == [lost_job(1)]
        callbacks.garbled = False
        await eventually(lambda: jobs.lost == [], 30)
        beating.cancel()
        await heart.aclose()


async def test_a_fault_in_one_look_ends_no_heartbeats() -> None:
    class Faulty(Jobs):
        looks = 0

        def check(self) -> list[JobTick]:
            self.looks += 1
            if self.looks <= 2:
                raise KeyError("a fault of ours")
            return super().check()

    async with CallbackApi() as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, Faulty(), lambda: False)
        beating = asyncio.create_task(heart.beat_forever())
        await callbacks.wait_for(lambda: bool(callbacks.of("heartbeat")))
        beating.cancel()
        await heart.aclose()


async def test_a_hurried_heartbeat_does_not_wait_for_the_next() -> None:
    jobs = Jobs()
    async with CallbackApi() as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, jobs, lambda: False)
        beating = asyncio.create_task(heart.beat_forever())
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(20):
            jobs.lost.append(lost_job(number))
            jobs.changed.set()
            await callbacks.wait_for(lambda name=f"AJ_{number}": name in losses_of(callbacks))
        beating.cancel()
        await heart.aclose()

    # Twenty ordinary ones would take forty seconds.
    assert loop.time() - begun < 20


def losses_of(callbacks: CallbackApi) -> set[str]:
    return {each["job_id"] for beat in callbacks.of("heartbeat") for each in beat.body["lost"]}


async def test_the_api_may_name_jobs_to_stop() -> None:
    jobs = Jobs()
    async with CallbackApi(stop=["AJ_1"]) as callbacks:
        heart = HeartbeatSender(SETTINGS, callbacks.url, jobs, lambda: False)
        await eventually(heart.beat, 30)
        await heart.aclose()

    assert jobs.stopped == ["AJ_1"]
