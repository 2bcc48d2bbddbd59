"""Sessions of an org at the same time: counted exactly, and a place is free as a session ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from adapters.temporal.directory import TemporalSessionDirectory
from domain.access.quotas import Life, Slot
from domain.errors import SessionQuotaExceeded, StorageUnavailable
from domain.ids import SessionKey
from services.access.org_quota import OrgQuota
from services.access.quotas import SessionQuota, SlotSweep
from tests.api.door import is_problem
from tests.api.house import PATIENT, House, Tenant, unique
from tests.fakes.reapers import reaper_of
from tests.waiting import eventually

LIMIT = 3


class Office:
    """A tenant with a quota, and what it holds."""

    def __init__(self, house: House, tenant: Tenant, org: str) -> None:
        self.house = house
        self.tenant = tenant
        self.org = org

    def key(self, session_id: str) -> SessionKey:
        return SessionKey(self.org, session_id)

    async def statuses_of(self, *session_ids: str) -> list[int]:
        answers = await asyncio.gather(*(self.tenant.start(one) for one in session_ids))
        return sorted(answer.status_code for answer in answers)

    async def slots(self) -> set[str]:
        return {slot.session_id for slot in await self.house.archive.slots.taken(self.org)}

    async def until_closed(self, session_id: str) -> None:
        async def closed() -> bool:
            return await self.tenant.state(session_id) == "closed"

        await eventually(closed, 90, f"{session_id} closed")


@pytest.fixture(params=["with MongoDB", "without MongoDB"])
async def office(house: House, request: pytest.FixtureRequest) -> AsyncGenerator[Office]:
    async with opened(house, mongodb=request.param == "with MongoDB") as office:
        yield office


@pytest.fixture
async def slotted(house: House) -> AsyncGenerator[Office]:
    async with opened(house, mongodb=True) as office:
        yield office


def opened(house: House, *, mongodb: bool) -> "_Opened":
    return _Opened(house, mongodb)


class _Opened:
    def __init__(self, house: House, mongodb: bool) -> None:
        self._house, self._mongodb = house, mongodb
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Office:
        quota = self._house.quota(LIMIT, mongodb=self._mongodb)
        app = await self._stack.enter_async_context(self._house.open(quota=quota))
        org = unique("acme")
        return Office(self._house, Tenant(app, await self._house.key(org)), org)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await self._house.quiet()


# ── through the API ──────────────────────────────────────────────────────────────────────────────


async def test_no_more_than_the_limit_however_many_start_at_once(office: Office) -> None:
    names = [f"s{number}" for number in range(10)]
    assert await office.statuses_of(*names) == [202] * LIMIT + [429] * 7

    answer = await office.tenant.start("one-more")
    assert is_problem(answer, 429, "session_quota_exceeded")
    assert answer.headers["retry-after"] == "5"
    assert is_problem(await office.tenant.http.get("/v1/sessions/one-more"), 404, "not_found"), (
        "a refused start leaves nothing"
    )


async def test_a_retried_start_has_the_same_place(office: Office) -> None:
    assert await office.statuses_of("a", "b", "c") == [202] * 3
    for _ in range(3):
        assert await office.statuses_of("a", "b", "c") == [202] * 3
    assert await office.statuses_of("d") == [429]


async def test_a_place_is_free_as_soon_as_a_session_is_closed(office: Office) -> None:
    assert await office.statuses_of("a", "b", "c") == [202] * 3
    for name, following in (("a", "d"), ("b", "e")):
        await office.tenant.end(name)
        await office.until_closed(name)

        async def let_in(session_id: str = following) -> bool:
            return (await office.tenant.start(session_id)).status_code == 202

        await eventually(let_in)
    assert await office.statuses_of("f") == [429]


async def test_a_terminated_session_is_in_nobodys_way(office: Office) -> None:
    assert await office.statuses_of("a", "b", "c") == [202] * 3
    await office.house.terminate(office.key("b"))

    assert await office.statuses_of("d") == [202]
    assert await office.statuses_of("e") == [429]
    await office.house.terminate(office.key("c"))
    assert await office.statuses_of("e", "f") == [202, 429]


async def test_orgs_do_not_share_their_places(house: House, office: Office) -> None:
    assert await office.statuses_of("a", "b", "c") == [202] * 3
    async with opened(house, mongodb=True) as neighbour:
        assert await neighbour.statuses_of("a", "b", "c", "d") == [202] * 3 + [429]


async def test_a_refused_start_takes_no_place(office: Office) -> None:
    assert await office.statuses_of("a", "b") == [202] * 2
    await office.tenant.end("a")
    await office.until_closed("a")

    again = await office.tenant.start("a")
    assert is_problem(again, 409, "conflict")
    other = await office.tenant.start("b", user_identity="somebody else")
    assert is_problem(other, 409, "idempotency_mismatch")

    async def two_more() -> bool:
        return (await office.statuses_of("c", "d")) == [202, 202]

    await eventually(two_more)
    assert await office.statuses_of("e") == [429]


async def test_without_a_limit_nothing_is_counted(house: House) -> None:
    org = unique("acme")
    async with house.open() as app:
        tenant = Tenant(app, await house.key(org))
        for number in range(5):
            assert (await tenant.start(f"s{number}")).status_code == 202
    assert await house.archive.slots.taken(org) == []


# ── slots ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_slot_is_there_from_the_start_and_gone_with_the_end(slotted: Office) -> None:
    assert await slotted.statuses_of("a", "b") == [202] * 2
    assert await slotted.slots() == {"a", "b"}
    await slotted.tenant.end("a")
    await slotted.until_closed("a")

    async def freed() -> bool:
        return await slotted.slots() == {"b"}

    await eventually(freed)


async def test_the_reaper_frees_the_slots_of_what_was_terminated(slotted: Office) -> None:
    assert await slotted.statuses_of("a", "b") == [202] * 2
    await slotted.house.terminate(slotted.key("a"))
    sweep = SlotSweep(slotted.house.archive.slots, slotted.house.listing)

    await sweep.sweep(set())
    assert await slotted.slots() == {"b"}


async def test_the_reaper_records_what_could_not_record_itself(slotted: Office) -> None:
    house = slotted.house
    assert await slotted.statuses_of("a") == [202]
    await house.terminate(slotted.key("a"))
    sweep = SlotSweep(house.archive.slots, house.listing)
    reaper = reaper_of(
        house.rooms, TemporalSessionDirectory(house.temporal), house.archive.sessions, sweep
    )

    async def recorded() -> bool:
        await reaper.sweep()
        return await house.archive.sessions.get(slotted.key("a")) is not None

    await eventually(recorded)
    assert await slotted.slots() == set()

    async def listed() -> bool:
        # Temporal's list of the open ones is a moment behind.
        [line] = (await slotted.tenant.http.get("/v1/sessions")).json()["sessions"]
        told = (line["session_id"], line["state"], line["outcome"])
        return told == ("a", "closed", "failed")

    await eventually(listed)


async def test_the_reaper_leaves_a_start_that_is_on_its_way_its_slot(slotted: Office) -> None:
    slots = slotted.house.archive.slots
    sweep = SlotSweep(slots, slotted.house.listing)
    key = slotted.key("on-its-way")
    assert await slots.claim(key, LIMIT)

    await sweep.sweep(set())
    assert await slotted.slots() == {"on-its-way"}
    assert await slots.claim(key, LIMIT), "a retry takes the doubt away"
    await sweep.sweep(set())
    assert await slotted.slots() == {"on-its-way"}
    await sweep.sweep(set())
    assert await slotted.slots() == set(), "its API died before the workflow was started"


async def test_a_lowered_limit_counts_those_above_it(house: House) -> None:
    slots, org = house.archive.slots, unique("acme")
    for number in range(5):
        assert await slots.claim(SessionKey(org, f"s{number}"), 5)
    assert not await slots.claim(SessionKey(org, "new"), 2)
    for number in range(4):
        await slots.free(SessionKey(org, f"s{number}"))
    assert await slots.claim(SessionKey(org, "new"), 2)
    assert not await slots.claim(SessionKey(org, "newer"), 2)


async def test_many_claims_at_once_take_exactly_what_is_there(house: House) -> None:
    slots, org = house.archive.slots, unique("acme")
    keys = [SessionKey(org, f"s{number}") for number in range(40)]
    granted = await asyncio.gather(*(slots.claim(key, 15) for key in keys))
    assert sum(granted) == 15
    taken = await slots.taken(org)
    assert sorted(slot.number for slot in taken) == list(range(15))


class AllOpen:
    """The port `SessionLives`: `held` are open, and the first answer waits for all who start."""

    def __init__(self, held: set[str], starts: int) -> None:
        self.asked: list[str] = []
        self._held, self._starts = held, starts
        self._all_came = asyncio.Event()

    async def open_ids(self, org: str) -> set[str]:
        return self._held

    async def life(self, key: SessionKey) -> Life:
        if key.session_id in self._held:
            self.asked.append(key.session_id)
            await self._all_came.wait()
            return Life.OPEN
        self._starts -= 1
        if not self._starts:
            self._all_came.set()
        return Life.UNKNOWN


async def test_refusing_many_starts_at_once_asks_temporal_for_few_sessions(house: House) -> None:
    """An org at its limit that goes on starting must not cost everybody's Temporal its slots."""
    org, held = unique("acme"), {f"s{number}" for number in range(LIMIT)}
    for name in held:
        assert await house.archive.slots.claim(SessionKey(org, name), LIMIT)
    lives = AllOpen(held, starts=20)
    quota = SessionQuota(LIMIT, house.archive.slots, lives)

    async def start(name: str) -> None:
        with pytest.raises(SessionQuotaExceeded):
            async with quota.reservation(SessionKey(org, name)):
                pass

    await asyncio.gather(*(start(f"new{number}") for number in range(20)))
    assert len(lives.asked) <= 2 * LIMIT


# ── outages ──────────────────────────────────────────────────────────────────────────────────────


class AwaySlots:
    """The port `Slots` while MongoDB is away."""

    async def claim(self, key: SessionKey, limit: int) -> bool:
        raise StorageUnavailable("MongoDB did not answer: test")

    async def free(self, key: SessionKey) -> bool:
        raise StorageUnavailable("MongoDB did not answer: test")

    async def taken(self, org: str) -> list[Slot]:
        raise StorageUnavailable("MongoDB did not answer: test")


class NoneOpen:
    """The port `SessionLives` of a Temporal whose list shows nothing yet."""

    async def open_ids(self, org: str) -> set[str]:
        return set()

    async def life(self, key: SessionKey) -> Life:
        return Life.UNKNOWN


async def test_while_mongodb_is_away_temporal_counts(house: House) -> None:
    quota = OrgQuota(SessionQuota(LIMIT, AwaySlots(), house.listing))
    async with house.open(quota=quota) as app:
        org = unique("acme")
        office = Office(house, Tenant(app, await house.key(org)), org)
        assert await office.statuses_of("a", "b", "c", "d") == [202] * 3 + [429]


async def test_starts_count_while_they_are_under_way_and_failed_ones_no_more() -> None:
    quota = SessionQuota(1, None, NoneOpen())
    async with quota.reservation(SessionKey("acme", "a")):
        with pytest.raises(SessionQuotaExceeded):
            async with quota.reservation(SessionKey("acme", "b")):
                pass
    async with quota.reservation(SessionKey("acme", "b")):
        pass


async def test_a_room_that_cannot_be_deleted_holds_no_slot(slotted: Office) -> None:
    rooms = slotted.house.rooms
    room = f"{slotted.org}.a"
    answer = await slotted.tenant.start("a", limits=PATIENT | {"room_deletion_wait": 1})
    assert answer.status_code == 202
    await eventually(lambda: room in rooms.rooms)
    rooms.away.add(room)
    try:
        await slotted.tenant.end("a")

        async def freed() -> bool:
            return await slotted.slots() == set()

        await eventually(freed, 90)
        assert await slotted.tenant.state("a") == "closed"
        assert room in rooms.rooms
    finally:
        rooms.away.discard(room)
