"""Ticks: a running event loop is heard, a stopped one is not, a sleeping server blames nobody."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from agent.server.ticks import ADDRESS_VARIABLE, TickSocket, say_done, tick_forever
from tests.waiting import eventually

TICKING = """
import asyncio
from agent.server.ticks import tick_forever
asyncio.run(tick_forever("AJ_1"))
"""


class Clock:
    """The server's own time, in seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_process_that_is_stopped_ticks_no_more_until_it_goes_on() -> None:
    with TickSocket() as ticks:
        process = subprocess.Popen([sys.executable, "-c", TICKING])  # noqa: ASYNC220 - returns at once

        def age() -> float | None:
            return ticks.ages({"AJ_1"}).get("AJ_1")

        try:
            await eventually(lambda: age() is not None, 30, "the first tick")
            process.send_signal(signal.SIGSTOP)
            await eventually(lambda: (age() or 0) > 1.5, 30, "its ticks stay away")
            process.send_signal(signal.SIGCONT)
            await eventually(lambda: (age() or 0) < 1, 30, "it ticks again")
        finally:
            process.kill()
            process.wait()


async def test_a_job_that_never_ticked_has_no_age() -> None:
    with TickSocket() as ticks:
        ticking = asyncio.create_task(tick_forever("AJ_1"))
        await eventually(lambda: "AJ_1" in ticks.ages({"AJ_1", "AJ_2"}), 30)

        assert "AJ_2" not in ticks.ages({"AJ_1", "AJ_2"})
        ticking.cancel()


async def test_a_server_that_slept_counts_from_when_it_woke() -> None:
    clock = Clock()
    with TickSocket(clock) as ticks:
        ticking = asyncio.create_task(tick_forever("AJ_1"))
        await eventually(lambda: "AJ_1" in ticks.ages({"AJ_1"}), 30)
        ticking.cancel()
        clock.now += 0.5
        assert ticks.ages({"AJ_1"}) == {"AJ_1": pytest.approx(0.5)}
        clock.now += 60

        assert ticks.ages({"AJ_1"}) == {"AJ_1": 0}
        clock.now += 1
        assert ticks.ages({"AJ_1"}) == {"AJ_1": 1}


async def test_a_tick_says_whether_the_job_sees_its_caller() -> None:
    seen: list[str | None] = [None]
    with TickSocket() as ticks:
        ticking = asyncio.create_task(tick_forever("AJ_1", lambda: seen[-1]))

        def told() -> str | None:
            assert ticks.ages({"AJ_1"}).keys() <= {"AJ_1"}, "the id is the job's alone"
            return ticks.caller("AJ_1")

        await eventually(lambda: "AJ_1" in ticks.ages({"AJ_1"}), 30)
        assert told() is None
        seen.append("PA_1")
        await eventually(lambda: told() == "PA_1", 30, "the caller is there")
        seen.append("")
        await eventually(lambda: told() == "", 30, "the caller has left")
        ticking.cancel()
        ticks.ages(set())

        assert ticks.caller("AJ_1") is None


async def test_a_tick_says_at_once_whether_the_caller_waits_for_an_answer() -> None:
    waits = [False]
    with TickSocket() as ticks:
        ticking = asyncio.create_task(tick_forever("AJ_1", lambda: "PA_1", lambda: waits[-1]))
        await eventually(lambda: "AJ_1" in ticks.ages({"AJ_1"}), 30)
        assert not ticks.unanswered("AJ_1")
        waits.append(True)
        await eventually(lambda: ticks.unanswered("AJ_1"), 30, "the caller waits")
        assert ticks.ages({"AJ_1"}).keys() == {"AJ_1"}
        assert ticks.caller("AJ_1") == "PA_1"
        waits.append(False)
        await eventually(lambda: not ticks.unanswered("AJ_1"), 30, "the caller was answered")
        ticking.cancel()

        assert not ticks.unanswered("AJ_2")


async def test_a_job_that_is_done_is_watched_no_longer() -> None:
    with TickSocket() as ticks:
        ticking = asyncio.create_task(tick_forever("AJ_1"))
        await eventually(lambda: "AJ_1" in ticks.ages({"AJ_1"}), 30)
        ticking.cancel()
        assert not ticks.is_done("AJ_1")
        say_done("AJ_1")

        assert ticks.is_done("AJ_1")
        assert ticks.ages({"AJ_1"}) == {}


async def test_jobs_do_not_care_whether_their_server_listens() -> None:
    with TickSocket() as ticks:
        address = os.environ[ADDRESS_VARIABLE]
    assert ticks
    assert ADDRESS_VARIABLE not in os.environ
    say_done("AJ_1")
    os.environ[ADDRESS_VARIABLE] = address
    try:
        say_done("AJ_1")
    finally:
        del os.environ[ADDRESS_VARIABLE]


async def test_a_server_that_sleeps_does_not_hold_up_its_jobs() -> None:
    with TickSocket() as ticks:
        for _ in range(5_000):
            say_done("AJ_1")

        assert ticks.is_done("AJ_1")
