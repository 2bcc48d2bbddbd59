"""Look up the host names that customers give, without waiting for them in place of others.

The system's look-up blocks a thread for as long as a name server takes, and asyncio has only a few
threads for everything: names that are never answered would delay the look-ups of LiveKit's name.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AT_ONCE = 32
PER_DOMAIN = 4
"""Look-ups at the same time of names under one domain, such as `*.example.com`."""
_PAUSE_SECONDS = 0.05

GetAddrInfo = Callable[..., list[Any]]


class LookUps:
    """Look-ups in threads of their own."""

    def __init__(self, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> None:
        self._getaddrinfo = getaddrinfo
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look-up")
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the resolver's order. The caller limits the time.

        Raises:
            OSError: there are none.
            UnicodeError: it is not a host name.
        """
        domain = ".".join(host.lower().rstrip(".").split(".")[-2:])
        while not self._begin(domain):  # noqa: ASYNC110 - ended by threads, for any event loop
            await asyncio.sleep(_PAUSE_SECONDS)
        looking_up = self._threads.submit(self._getaddrinfo, host, port, type=socket.SOCK_STREAM)
        # When the thread has ended, which may be long after the caller stopped waiting.
        looking_up.add_done_callback(lambda _: self._end(domain))
        found = await asyncio.wrap_future(looking_up)
        # A link-local IPv6 address may name its interface after a `%`.
        return [str(address[4][0]).partition("%")[0] for address in found]

    def _begin(self, domain: str) -> bool:
        with self._lock:
            if self._running[domain] >= PER_DOMAIN:
                return False
            self._running[domain] += 1
            return True

    def _end(self, domain: str) -> None:
        with self._lock:
            self._running[domain] -= 1
            if not self._running[domain]:
                del self._running[domain]
