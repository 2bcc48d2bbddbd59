"""LiveKit's Redis forgets a room, or everything, in mid-call: the call goes on and ends well."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from domain.errors import Unavailable
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome
from tests.harness.call import Call
from tests.harness.rig import Rig, running_rig
from tests.invariants import require_invariants
from tests.redis import RedisServer, start_redis
from tests.waiting import eventually

NOTICED = "LiveKit's list has lost rooms that are alive"
"""What the watch says when it has looked again."""


@dataclass(frozen=True)
class OnRedis:
    """A stack whose LiveKit keeps its lists in a Redis."""

    rig: Rig
    redis: RedisServer

    def noticed(self) -> int:
        """How often rooms were found alive that the list had lost."""
        return self.rig.stack.log("worker").count(NOTICED)


@pytest.fixture(scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[OnRedis]:
    async with start_redis() as redis:
        settings = {"livekit": {"REDIS_HOST": redis.address}}
        folder = tmp_path_factory.mktemp("on-redis")
        async with running_rig(folder, settings=settings) as rig:
            yield OnRedis(rig, redis)
            await rig.finish_all()
            await require_invariants(rig)


async def forget_the_room(here: OnRedis, call: Call) -> None:
    await here.redis.command("HDEL", "rooms", call.started.room)


async def forget_everything(here: OnRedis, call: Call) -> None:
    await here.redis.command("FLUSHALL")


async def restart(here: OnRedis, call: Call) -> None:
    await here.redis.restart()


@pytest.mark.parametrize("fault", [forget_the_room, forget_everything, restart])
async def test_a_healthy_call_outlives_a_redis_that_forgets(
    here: OnRedis, fault: Callable[[OnRedis, Call], Awaitable[None]]
) -> None:
    rig = here.rig
    livekit, before = rig.rooms.livekit, here.noticed()
    async with rig.call(limits={"report_grace": 30}) as call:
        await call.type("A table for two, please.", expect="table for two")

        async def noticed() -> bool:
            try:
                if await livekit.list_rooms([call.started.room]):
                    # Also if LiveKit had something to write, and has put it into the list again.
                    await fault(here, call)
            except Unavailable:
                return False  # LiveKit finds its Redis again in a moment
            return here.noticed() > before

        await eventually(noticed, 60, "the watch has looked again")
        answer = await call.type("My name is Carl.", expect="Carl", also="table for two")
        assert "table for two" in answer
        await rig.client.end(call.session_id)
        closed = await rig.client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)
        assert (closed.dispatches, closed.joins, closed.attempt) == (1, 1, 1), closed.timeline

        async def gone() -> bool:
            return not await livekit.exists(call.started.room)

        await eventually(gone, 60, "LiveKit has let the room go")
        async with asyncio.timeout(30):
            await call.caller.disconnected.wait()


async def test_a_caller_can_leave_a_room_that_was_forgotten(here: OnRedis) -> None:
    rig = here.rig
    async with rig.call(limits={"report_grace": 30, "caller_return": 1}) as call:
        await call.type("A table for two, please.", expect="table for two")
        await forget_everything(here, call)
        await call.leave()
        closed = await rig.client.closed(call.session_id)
        assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.CALLER_LEFT)
        assert closed.attempt == 1, closed.timeline
