"""The agent server: it counts jobs, and tells LiveKit at once whether it has a place."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from livekit.agents import JobRequest
from livekit.agents.job import JobAcceptArguments, RunningJobInfo
from livekit.protocol import agent as agent_protocol
from pydantic import SecretStr

from adapters.settings import AgentSettings
from agent.server.agent_server import CountingAgentServer, build_server
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from tests.agent.call.test_metadata import TEXT
from tests.waiting import eventually

AVAILABLE = agent_protocol.WorkerStatus.WS_AVAILABLE
FULL = agent_protocol.WorkerStatus.WS_FULL

SETTINGS = AgentSettings(
    livekit_url="ws://127.0.0.1:1",
    livekit_api_key="key",
    livekit_api_secret=SecretStr("a-secret-for-tests-of-at-least-32-characters"),
    max_jobs=4,
    agent_name="tester",
)


def job(number: int, metadata: str = "") -> agent_protocol.Job:
    return agent_protocol.Job(id=f"AJ_{number}", metadata=metadata, agent_name="tester")


def running(*jobs: agent_protocol.Job) -> list[RunningJobInfo]:
    accepted = JobAcceptArguments(name="", identity="", metadata="")
    return [
        RunningJobInfo(
            accept_arguments=accepted, job=each, url="", token="", worker_id="", fake_job=False
        )
        for each in jobs
    ]


class ServerWithJobs(CountingAgentServer):
    """The real server with given running jobs, as its process pool would name them."""

    jobs: Sequence[RunningJobInfo] = ()
    told: list[agent_protocol.UpdateWorkerStatus]

    @property
    def active_jobs(self) -> list[RunningJobInfo]:
        return list(self.jobs)

    async def _queue_msg(self, msg: agent_protocol.WorkerMessage) -> None:
        """What would go to LiveKit."""
        self.told.append(msg.update_worker)

    async def say(self) -> agent_protocol.UpdateWorkerStatus:
        """What the SDK tells LiveKit from time to time."""
        await self._update_worker_status()
        return self.told[-1]


@pytest.fixture
async def server() -> ServerWithJobs:
    server = ServerWithJobs(SETTINGS)
    server.told = []
    server._reserved_slots = 0  # pyright: ignore[reportPrivateUsage] - set when it runs
    server._draining = False  # pyright: ignore[reportPrivateUsage] - likewise
    server._devmode = False  # pyright: ignore[reportPrivateUsage] - likewise
    return server


def available(server: CountingAgentServer) -> bool:
    """What the SDK answers to a job's availability request: guards the private name we override."""
    return server._is_available()  # pyright: ignore[reportPrivateUsage] - see the docstring


async def test_an_empty_server_takes_as_many_jobs_at_once_as_it_may_run(
    server: ServerWithJobs,
) -> None:
    answers: list[bool] = []
    for _ in range(6):
        answers.append(available(server))
        server._reserved_slots += answers[-1]  # pyright: ignore[reportPrivateUsage] - as the SDK

    assert answers == [True, True, True, True, False, False]


async def test_a_job_that_is_being_launched_counts_once(server: ServerWithJobs) -> None:
    launching = asyncio.Event()

    async def accept(arguments: JobAcceptArguments) -> None:
        server.jobs = running(job(1), job(2), job(3))
        launching.set()
        await asyncio.Event().wait()

    async def reject(terminate: bool) -> None:
        raise AssertionError("rejected")

    server.jobs = running(job(1), job(2))
    server._reserved_slots = 1  # pyright: ignore[reportPrivateUsage] - as the SDK does
    answering = asyncio.create_task(
        server.answer(JobRequest(job=job(3), on_reject=reject, on_accept=accept))
    )
    await launching.wait()

    assert available(server)
    assert (server.taken, server.free, server.load()) == (3, 1, 0.75)
    answering.cancel()


async def test_below_its_last_place_a_server_is_below_every_sensible_target_load(
    server: ServerWithJobs,
) -> None:
    """LiveKit's default is 0.7; of several servers it prefers those with a smaller load."""
    told: list[agent_protocol.UpdateWorkerStatus] = []
    for count in range(5):
        server.jobs = running(*(job(number) for number in range(count)))
        told.append(await server.say())

    assert [each.status for each in told] == [AVAILABLE] * 4 + [FULL]
    loads = [each.load for each in told]
    assert loads == sorted(set(loads))
    assert (loads[0], max(loads[:4]) < 0.5, loads[4]) == (0, True, 1)


async def test_livekit_knows_of_a_place_that_is_taken_before_it_reads_the_answer(
    server: ServerWithJobs,
) -> None:
    seen: list[int] = []

    async def accept(arguments: JobAcceptArguments) -> None:
        seen.extend(each.status for each in server.told)

    async def reject(terminate: bool) -> None:
        raise AssertionError("rejected")

    server.jobs = running(job(1), job(2), job(3))
    server._reserved_slots = 1  # pyright: ignore[reportPrivateUsage] - as the SDK does
    await server.answer(JobRequest(job=job(4), on_reject=reject, on_accept=accept))

    assert seen == [FULL]


async def test_a_job_that_came_to_nothing_gives_its_place_back_at_once(
    server: ServerWithJobs,
) -> None:
    """LiveKit does not always assign what was accepted."""

    async def accept(arguments: JobAcceptArguments) -> None:
        raise TimeoutError

    async def reject(terminate: bool) -> None:
        raise AssertionError("rejected")

    changes: list[int] = []
    server.on_change = lambda: changes.append(server.free)
    server.jobs = running(job(1), job(2), job(3))
    server._reserved_slots = 1  # pyright: ignore[reportPrivateUsage] - as the SDK does
    answering = asyncio.create_task(
        server.answer(JobRequest(job=job(4), on_reject=reject, on_accept=accept))
    )

    def done(_: object) -> None:
        server._reserved_slots -= 1  # pyright: ignore[reportPrivateUsage] - as the SDK does

    answering.add_done_callback(done)
    await eventually(lambda: len(changes) == 2, 10)

    assert isinstance(answering.exception(), TimeoutError)
    assert changes == [0, 1]
    assert [each.status for each in server.told] == [FULL, AVAILABLE]


async def test_a_server_that_drains_is_full(server: ServerWithJobs) -> None:
    server._draining = True  # pyright: ignore[reportPrivateUsage] - as the SDK does

    told = await server.say()

    assert (told.status, told.load, server.free) == (FULL, 1, 0)
    assert not available(server)


async def test_an_accepted_job_names_its_attempt_in_the_room(server: ServerWithJobs) -> None:
    accepted: list[JobAcceptArguments] = []

    async def accept(arguments: JobAcceptArguments) -> None:
        accepted.append(arguments)

    async def reject(terminate: bool) -> None:
        raise AssertionError("rejected")

    for metadata in (TEXT, ""):
        await server.answer(JobRequest(job=job(1, metadata), on_reject=reject, on_accept=accept))

    assert [arguments.attributes for arguments in accepted] == [{ATTEMPT_ATTRIBUTE: "3"}, {}]
    assert {arguments.identity for arguments in accepted} == {"agent-AJ_1"}


def test_the_server_registers_under_the_dispatch_name() -> None:
    server: Any = build_server(SETTINGS)

    assert server._agent_name == "tester"
