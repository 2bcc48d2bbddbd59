"""Calls that are made once for all who need them."""

import asyncio

import pytest

from adapters.temporal.shared_calls import SharedCalls
from tests.waiting import eventually


class Counted:
    """A call that waits until it is let go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> int:
        self.begun += 1
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_call_is_made_once_for_all_who_wait_for_it() -> None:
    shared, call = SharedCalls[str, int](), Counted()
    waiting = [asyncio.create_task(shared.run("a", call)) for _ in range(1_500)]
    await eventually(lambda: call.begun > 0)

    call.answer.set_result(7)

    assert set(await asyncio.gather(*waiting)) == {7}
    assert call.begun == 1
    assert await shared.run("a", call) == 7
    assert call.begun == 2, "who comes later has to ask again"


async def test_who_goes_takes_nobody_along_and_the_last_one_ends_the_call() -> None:
    shared, call = SharedCalls[str, int](), Counted()
    first, second, third = (asyncio.create_task(shared.run("a", call)) for _ in range(3))
    await eventually(lambda: call.begun > 0)

    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert (call.begun, call.cancelled, third.done()) == (1, 0, False)
    third.cancel()

    await eventually(lambda: call.cancelled == 1)
    with pytest.raises(asyncio.CancelledError):
        await third


async def test_what_a_call_raises_reaches_all_and_no_one_after_them() -> None:
    shared, call, other = SharedCalls[str, int](), Counted(), Counted()
    waiting = [asyncio.create_task(shared.run("a", call)) for _ in range(3)]
    await eventually(lambda: call.begun > 0)

    call.answer.set_exception(ValueError("no"))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    other.answer.set_result(1)

    assert [str(result) for result in results] == ["no"] * 3
    assert await shared.run("a", other) == 1
