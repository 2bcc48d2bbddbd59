"""Names that no resolver answers hold up nothing else."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from adapters.http.lookups import MOST_OF_A_DOMAIN, LookupLoop, Lookups
from tests.waiting import eventually

FOUND: list[tuple[Any, ...]] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]


class Resolver:
    """A resolver that answers no name of the domain `silent`."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.answers = threading.Event()

    def getaddrinfo(self, host: str, *_: object) -> list[tuple[Any, ...]]:
        self.asked[host] += 1
        if host.endswith(".silent"):
            self.answers.wait(60)
        if host == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return FOUND


@pytest.fixture
def resolver() -> Generator[Resolver]:
    resolver = Resolver()
    yield resolver
    resolver.answers.set()


async def test_many_silent_names_delay_no_other_and_nothing_else(resolver: Resolver) -> None:
    lookups = Lookups(seconds=30, getaddrinfo=resolver.getaddrinfo)
    silent = [
        asyncio.create_task(lookups.getaddrinfo(f"h{number}.silent", 443)) for number in range(60)
    ]
    await eventually(lambda: len(resolver.asked) == 60)

    assert await asyncio.wait_for(lookups.getaddrinfo("example.com", 443), 20) == FOUND
    # The threads that files and other look-ups need are all free.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 20) == "done"
    assert not any(task.done() for task in silent)
    resolver.answers.set()
    assert await asyncio.gather(*silent) == [FOUND] * 60


async def test_a_silent_name_has_one_thread_however_often_it_is_asked_for(
    resolver: Resolver,
) -> None:
    lookups = Lookups(seconds=0.05, getaddrinfo=resolver.getaddrinfo)
    for _ in range(5):
        with pytest.raises(socket.gaierror, match=r"within 0\.05 s"):
            await lookups.getaddrinfo("h.silent", 443)
    assert resolver.asked == {"h.silent": 1}
    resolver.answers.set()

    async def asked_anew() -> bool:
        with suppress(socket.gaierror):  # a busy machine
            await lookups.getaddrinfo("h.silent", 443)
        return resolver.asked["h.silent"] >= 2

    await eventually(asked_anew)


async def test_who_stops_waiting_does_not_stop_the_others(resolver: Resolver) -> None:
    lookups = Lookups(seconds=30, getaddrinfo=resolver.getaddrinfo)
    first, second = (asyncio.create_task(lookups.getaddrinfo("h.silent", 443)) for _ in range(2))
    await eventually(lambda: resolver.asked["h.silent"] == 1)
    first.cancel()
    resolver.answers.set()
    assert await second == FOUND


async def test_more_names_than_there_may_be_threads_are_refused(resolver: Resolver) -> None:
    lookups = Lookups(seconds=30, at_once=1, getaddrinfo=resolver.getaddrinfo)
    waiting = asyncio.create_task(lookups.getaddrinfo("h.silent", 443))
    await eventually(lambda: resolver.asked["h.silent"] == 1)
    with pytest.raises(socket.gaierror, match="too many"):
        await lookups.getaddrinfo("example.com", 443)
    resolver.answers.set()
    await waiting


async def test_a_thread_that_cannot_be_started_costs_one_look_up(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(getaddrinfo=resolver.getaddrinfo)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(socket.gaierror, match="start new thread"):
            await lookups.getaddrinfo("example.com", 443)

    assert await lookups.getaddrinfo("example.com", 443) == FOUND


async def test_one_domain_takes_no_threads_from_others(resolver: Resolver) -> None:
    lookups = Lookups(seconds=30, getaddrinfo=resolver.getaddrinfo)
    hosts = [f"h{number}.evil.silent" for number in range(MOST_OF_A_DOMAIN)]
    silent = [asyncio.create_task(lookups.getaddrinfo(host, 443)) for host in hosts]
    await eventually(lambda: len(resolver.asked) == MOST_OF_A_DOMAIN)

    with pytest.raises(socket.gaierror, match=r"too many names of evil\.silent"):
        await lookups.getaddrinfo("one-more.EVIL.silent.", 443)

    assert await lookups.getaddrinfo("example.com", 443) == FOUND
    resolver.answers.set()
    await asyncio.gather(*silent)


async def test_an_unknown_name_is_told(resolver: Resolver) -> None:
    with pytest.raises(socket.gaierror, match="unknown"):
        await Lookups(getaddrinfo=resolver.getaddrinfo).getaddrinfo("unknown", 443)


async def test_the_loop_of_a_process_looks_up_names() -> None:
    async def local() -> list[Any]:
        return await asyncio.get_running_loop().getaddrinfo(
            "127.0.0.1", 80, type=socket.SOCK_STREAM
        )

    def process() -> list[Any]:
        with asyncio.Runner(loop_factory=LookupLoop) as runner:
            return runner.run(local())

    [found] = await asyncio.to_thread(process)
    assert found[4] == ("127.0.0.1", 80)
