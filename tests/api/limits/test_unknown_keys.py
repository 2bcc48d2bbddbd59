"""Guesses of API keys are limited, and take nothing away from those who have one."""

from dataclasses import dataclass, field, replace

import httpx
import pytest

from api.limits.unknown_keys import UnknownKeys
from domain.access.ports import ApiKeys
from domain.access.principal import Principal
from domain.errors import TooManyRequests
from tests.api.door import Door, is_problem, open_door


@dataclass
class Time:
    """A clock that is set."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted(ApiKeys):
    """Knows the keys that begin with `good`, and counts the look-ups."""

    asked: list[str] = field(default_factory=list[str])

    async def resolve(self, key: str) -> Principal | None:
        self.asked.append(key)
        good = key.startswith("good")
        return Principal(org="acme", user_id="u", is_admin=False) if good else None


async def test_an_address_that_sends_unknown_keys_is_refused(keyless: Door) -> None:
    keys, clock = Counted(), Time()
    limited = UnknownKeys(clock, per_second=1, burst=5)
    deps = replace(keyless.deps, keys=keys, unknown_keys=limited)
    async with open_door(keyless.studio, deps, key=None, patient=False) as door:

        async def ask(key: str) -> httpx.Response:
            return await door.http.get("/health/none", headers={"x-api-key": key})

        async def get(key: str) -> httpx.Response:
            return await door.http.post("/session/end", json={}, headers={"x-api-key": key})

        assert (await ask("bad")).status_code == 404
        assert (await get("good-1")).status_code == 422
        for number in range(6):
            assert is_problem(await get(f"bad-{number}"), 401, "unauthenticated")
        refused = await get("bad-6")
        assert is_problem(refused, 429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        assert "bad" not in refused.text
        assert keys.asked[-1] == "bad-5", "no look-up"
        # A key that has worked goes on working; another one has to wait.
        assert (await get("good-1")).status_code == 422
        assert is_problem(await get("good-2"), 429, "too_many_requests")
        clock.now += 1
        assert (await get("good-2")).status_code == 422
        # No key at all costs no look-up.
        assert (await door.http.post("/session/end", json={})).status_code == 401


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("a name", "another", False),
    ],
)
def test_what_counts_as_one_address(first: str, second: str, same: bool) -> None:
    limited = UnknownKeys(Time(), per_second=1, burst=1)
    for _ in range(2):
        limited.note_unknown(first)
    if same:
        with pytest.raises(TooManyRequests):
            limited.check(second, "key")
    else:
        limited.check(second, "key")


def test_any_number_may_be_allowed() -> None:
    limited = UnknownKeys(Time(), per_second=0)
    for _ in range(1_000):
        limited.note_unknown("192.0.2.1")
    limited.check("192.0.2.1", "key")
