"""Limits of starts: per second, and of those that wait for their agents."""

import asyncio

import pytest

from domain.access.quotas import Life
from domain.errors import JoinQuotaExceeded, Unavailable
from domain.ids import SessionKey
from services.access.org_quota import JoinQuota, OrgQuota
from services.access.rate_limits import RequestRates
from tests.api.door import is_problem
from tests.api.house import House, Tenant, unique
from tests.waiting import eventually


async def test_starts_that_come_too_fast_are_refused_before_anything_is_done(
    house: House,
) -> None:
    time = 0.0
    quota = OrgQuota(starts=RequestRates(0.5, 2, lambda: time, "starts"))
    async with house.open(quota=quota) as app:
        tenant, neighbour = [Tenant(app, await house.key(unique(o))) for o in ("acme", "globex")]
        for name in ("a", "b"):
            assert (await tenant.start(name)).status_code == 202
        refused = await tenant.start("c")
        assert is_problem(refused, 429, "too_many_requests")
        assert refused.headers["retry-after"] == "2"
        assert "starts per second" in refused.json()["detail"]
        assert (await tenant.http.get("/v1/sessions/c")).status_code == 404
        assert (await tenant.http.get("/v1/sessions/a")).status_code == 200, "only starts count"
        assert (await neighbour.start("a")).status_code == 202

        time = 2.0
        assert (await tenant.start("c")).status_code == 202
    await house.quiet()


async def test_an_org_whose_agents_do_not_come_starts_no_more_than_the_limit(house: House) -> None:
    time = 0.0
    quota = OrgQuota(joins=JoinQuota(2, house.listing, lambda: time))
    async with house.open(quota=quota) as app:
        org = unique("acme")
        tenant = Tenant(app, await house.key(org))
        for name in ("a", "b"):
            assert (await tenant.start(name)).status_code == 202

        refused = await tenant.start("c")
        assert is_problem(refused, 429, "join_quota_exceeded")
        assert refused.headers["retry-after"] == "5"
        assert (await tenant.start("a")).status_code == 202, "it is one of those that wait"
        neighbour = Tenant(app, await house.key(unique("globex")))
        assert (await neighbour.start("a")).status_code == 202

        async def listed() -> bool:
            return await house.listing.joining(org) == 2

        await eventually(listed)
        time = 60.0
        assert (await tenant.start("c")).status_code == 429
        await tenant.end("a")

        async def let_in() -> bool:
            nonlocal time
            time += 1.0
            return (await tenant.start("c")).status_code == 202

        await eventually(let_in)
    await house.quiet()


class Joining:
    """The port `JoiningSessions` of an org with so many sessions on their way."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0
        self.away = False

    async def joining(self, org: str) -> int:
        self.asked += 1
        if self.away:
            raise Unavailable("Temporal answers no more such questions now")
        return self.count

    async def open_ids(self, org: str) -> set[str]:
        return set()

    async def life(self, key: SessionKey) -> Life:
        return Life.UNKNOWN


async def test_temporal_is_asked_only_of_orgs_that_may_have_reached_their_limit() -> None:
    sessions, time = Joining(0), 0.0
    quota = JoinQuota(3, sessions, lambda: time)
    for number in range(3):
        await quota.take(SessionKey("acme", f"s{number}"))
    assert not sessions.asked
    time = 10.0
    await quota.take(SessionKey("acme", "s3"))
    assert sessions.asked == 1
    time = 10_000.0
    await quota.take(SessionKey("acme", "s4"))
    assert sessions.asked == 1


async def test_one_count_serves_the_starts_of_a_second() -> None:
    sessions, time = Joining(0), 0.0
    quota = JoinQuota(100, sessions, lambda: time)
    for number in range(100):
        await quota.take(SessionKey("acme", f"s{number}"))
    time = 60.0
    await asyncio.gather(*(quota.take(SessionKey("acme", f"t{n}")) for n in range(90)))
    assert sessions.asked == 1


async def test_starts_are_let_in_while_temporal_does_not_count() -> None:
    sessions, time = Joining(9), 0.0
    sessions.away = True
    quota = JoinQuota(3, sessions, lambda: time)
    for number in range(9):
        time += 10.0
        await quota.take(SessionKey("acme", f"s{number}"))
    assert sessions.asked == 6


async def test_a_start_that_is_repeated_counts_once() -> None:
    quota = JoinQuota(2, Joining(0), lambda: 0.0)
    for _ in range(9):
        await quota.take(SessionKey("acme", "s"))
    await quota.take(SessionKey("acme", "t"))
    with pytest.raises(JoinQuotaExceeded):
        await quota.take(SessionKey("acme", "u"))


async def test_starts_count_that_temporal_has_not_listed_yet() -> None:
    quota = JoinQuota(3, Joining(0), lambda: 0.0)
    keys = [SessionKey("acme", f"s{number}") for number in range(9)]
    taken = await asyncio.gather(*(quota.take(key) for key in keys), return_exceptions=True)
    assert [type(one) for one in taken] == [type(None)] * 3 + [JoinQuotaExceeded] * 6


async def test_a_quota_without_limits_limits_nothing() -> None:
    quota = OrgQuota()
    quota.take_start("acme")
    async with quota.reservation(SessionKey("acme", "s")) as holds_slot:
        assert not holds_slot
