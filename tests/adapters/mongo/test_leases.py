"""A lease has one holder at a time, and no clocks are compared."""

import asyncio

from adapters.mongo import MongoArchive
from adapters.mongo.leases import LEASE_SECONDS, MongoLease


class Clock:
    """A process's own time, in seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def lease(archive: MongoArchive, holder: str, clock: Clock) -> MongoLease:
    return archive.lease("watch", holder, clock)


async def test_the_first_has_it_and_keeps_it(archive: MongoArchive) -> None:
    first, second = (lease(archive, name, Clock(0)) for name in ("first", "second"))

    assert [await first.hold(), await second.hold(), await first.hold()] == [True, False, True]


async def test_of_several_at_once_one_gets_it(archive: MongoArchive) -> None:
    leases = [lease(archive, str(number), Clock(number)) for number in range(8)]

    held = await asyncio.gather(*(each.hold() for each in leases))

    assert held.count(True) == 1


async def test_a_silent_holder_is_succeeded_and_does_not_get_it_back(
    archive: MongoArchive,
) -> None:
    # The clocks of the two machines have nothing to do with each other.
    far, near = Clock(9_000_000), Clock(5)
    holder, waiting = lease(archive, "holder", far), lease(archive, "waiting", near)
    assert await holder.hold()
    assert not await waiting.hold()
    near.now += LEASE_SECONDS - 1
    assert not await waiting.hold()
    assert await holder.hold()
    near.now += LEASE_SECONDS - 1
    assert not await waiting.hold(), "it was renewed in between"
    near.now += LEASE_SECONDS

    assert await waiting.hold()
    assert not await holder.hold()
    assert await waiting.hold()


async def test_of_several_that_wait_one_succeeds(archive: MongoArchive) -> None:
    clock = Clock(0)
    assert await lease(archive, "holder", clock).hold()
    waiting = [lease(archive, str(number), clock) for number in range(4)]
    for each in waiting:
        assert not await each.hold()
    clock.now += LEASE_SECONDS

    held = await asyncio.gather(*(each.hold() for each in waiting))

    assert held.count(True) == 1


async def test_a_released_lease_is_free_at_once(archive: MongoArchive) -> None:
    first, second = (lease(archive, name, Clock(0)) for name in ("first", "second"))
    assert await first.hold()

    await second.release()
    assert not await second.hold(), "only its holder can release it"
    await first.release()

    assert await second.hold()
    assert not await first.hold()


async def test_a_lease_may_last_for_another_time(archive: MongoArchive) -> None:
    clock = Clock(0)
    first, second = (archive.lease("short", name, clock, 1) for name in ("first", "second"))
    assert await first.hold()
    assert not await second.hold()
    clock.now += 1
    assert await second.hold()
