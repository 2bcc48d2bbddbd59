"""Names that no server answers for keep nobody else's from being looked up."""

import asyncio
import threading
from collections.abc import Generator
from typing import Any

import pytest

from adapters.http.look_ups import AT_ONCE, PER_DOMAIN, LookUps
from tests.waiting import eventually

PATIENCE = 60


class NameServers:
    """Answers for every name but those under `evil.test`, which hang until the end of the test."""

    def __init__(self) -> None:
        self.hanging = 0
        self.released = threading.Event()

    def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        if host.endswith("evil.test"):
            self.hanging += 1
            self.released.wait(PATIENCE)
            raise OSError("no answer")
        return [(None, None, None, None, ("192.0.2.1", port)), (0, 0, 0, "", ("fe80::1%eth0",))]


@pytest.fixture
def servers() -> Generator[NameServers]:
    it = NameServers()
    yield it
    it.released.set()


async def test_names_that_are_never_answered_starve_nobody(servers: NameServers) -> None:
    look_ups = LookUps(servers.look_up)
    names = [f"h{number}.evil.test" for number in range(10 * AT_ONCE)]
    hanging = [asyncio.create_task(look_ups.addresses(name, 443)) for name in names]
    await eventually(lambda: servers.hanging == PER_DOMAIN, PATIENCE)

    answer = await asyncio.wait_for(look_ups.addresses("good.test", 443), PATIENCE)
    loop = asyncio.get_running_loop()
    other = await asyncio.wait_for(loop.run_in_executor(None, lambda: "free"), PATIENCE)

    assert (answer, other) == (["192.0.2.1", "fe80::1"], "free")
    assert servers.hanging == PER_DOMAIN
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    # The threads are still waiting, although nobody waits for them.
    late = asyncio.create_task(look_ups.addresses("late.evil.test", 443))
    await look_ups.addresses("good.test", 443)
    assert servers.hanging == PER_DOMAIN
    servers.released.set()
    with pytest.raises(OSError, match="no answer"):
        await asyncio.wait_for(late, PATIENCE)


@pytest.mark.parametrize("name", ["a" * 70 + ".test", "..", "\udcff.test"])
async def test_what_is_not_a_host_name(name: str) -> None:
    with pytest.raises((OSError, UnicodeError)):
        await LookUps().addresses(name, 443)
