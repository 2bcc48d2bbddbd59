"""Places and the queue as MongoDB keeps them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from adapters.mongo import MongoArchive
from adapters.mongo.agents.places import MOST_RELEASES, MongoPlaces
from domain.agents.places import Waiting
from domain.ids import SessionKey

NAME = "agents"


def key(name: str, org: str = "acme") -> SessionKey:
    """A session of an org."""
    return SessionKey(org, name)


def entry(name: str, org: str = "acme", age: float = 0) -> Waiting:
    """A session's entry in the queue."""
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=age)
    return Waiting(agent_name=NAME, org=org, session_id=name, claimed_at=at)


@pytest.fixture
def places(archive: MongoArchive) -> MongoPlaces:
    """The places of an empty database."""
    return archive.places


async def test_as_many_sessions_hold_a_place_as_there_are_however_many_ask_at_once(
    places: MongoPlaces,
) -> None:
    claims = [places.claim(key(f"s{number}"), NAME, 5) for number in range(20)]
    granted = await asyncio.gather(*claims)

    assert sum(granted) == 5
    held = await places.of_name(NAME)
    assert sorted(place.number for place in held) == [0, 1, 2, 3, 4]
    assert await places.all_places() == held


async def test_a_repeated_claim_keeps_its_place(places: MongoPlaces) -> None:
    assert await places.claim(key("a"), NAME, 1)
    assert await places.claim(key("a"), NAME, 1)
    assert not await places.claim(key("b"), NAME, 1)
    assert not await places.claim(key("a", "other"), NAME, 1)
    assert [place.key for place in await places.of_name(NAME)] == [key("a")]


async def test_a_place_of_very_many(places: MongoPlaces) -> None:
    assert await places.claim(key("a"), NAME, 10**15)
    assert await places.claim(key("b"), NAME, 10**15)
    assert len({place.number for place in await places.of_name(NAME)}) == 2


async def test_agent_names_have_their_own_places(places: MongoPlaces) -> None:
    assert await places.claim(key("a"), NAME, 1)
    assert await places.claim(key("b"), "others", 1)
    assert [place.key for place in await places.of_name("others")] == [key("b")]


async def test_a_released_place_is_free_again_and_its_time_is_kept(places: MongoPlaces) -> None:
    await places.claim(key("a"), NAME, 1)
    assert await places.releases(NAME) == []

    assert await places.release(key("a"))
    assert not await places.release(key("a"))

    assert len(await places.releases(NAME)) == 1
    assert await places.claim(key("b"), NAME, 1)


async def test_only_the_last_releases_are_kept(places: MongoPlaces) -> None:
    for number in range(MOST_RELEASES + 5):
        await places.claim(key(f"s{number}"), NAME, 1)
        await places.release(key(f"s{number}"))
    kept = await places.releases(NAME)
    assert len(kept) == MOST_RELEASES
    assert kept == sorted(kept)


async def test_what_was_never_used_is_no_release(places: MongoPlaces) -> None:
    await places.claim(key("a"), NAME, 1)
    assert await places.free(key("a"))
    assert await places.releases(NAME) == []


async def test_who_waits_keeps_its_turn_and_may_leave(places: MongoPlaces) -> None:
    await places.enqueue(entry("a", age=10))
    await places.enqueue(entry("a", age=0))
    await places.enqueue(entry("b"))

    assert sorted(one.session_id for one in await places.queue()) == ["a", "b"]
    assert entry("a", age=10).claimed_at in [one.claimed_at for one in await places.queue()]
    assert await places.is_waiting(key("a"))

    assert await places.leave(key("a"))
    assert not await places.leave(key("a"))
    assert not await places.is_waiting(key("a"))
    assert await places.free(key("b"))
    assert await places.queue() == []
