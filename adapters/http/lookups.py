"""Name look-ups that take no thread from anything else.

`getaddrinfo` blocks its thread until the resolver has answered, which may take minutes, and cannot
be stopped. asyncio runs it in the threads of the default executor: a few names that nobody answers
would occupy all of them, and every other look-up of the process would wait.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from typing_extensions import override

Found = list[tuple[Any, ...]]
"""As `socket.getaddrinfo` returns it."""
LOOKUP_SECONDS = 5.0
MOST_AT_ONCE = 64
"""Names that are being looked up at the same time; far more than a worker calls at once."""


MOST_OF_A_DOMAIN = 16
"""Of these, names under one domain such as `*.example.com`: its owner may answer none of them."""


class Lookups:
    """Looks up each name once at a time, in a thread of its own, for a bounded time.

    Who asks for a name that is being looked up waits for the same answer, so a name that nobody
    answers occupies one thread, however often it is asked for.
    """

    def __init__(
        self,
        seconds: float = LOOKUP_SECONDS,
        at_once: int = MOST_AT_ONCE,
        getaddrinfo: Callable[..., Found] = socket.getaddrinfo,
    ) -> None:
        self._seconds = seconds
        self._at_once = at_once
        self._getaddrinfo = getaddrinfo
        self._running: dict[tuple[object, ...], Future[Found]] = {}
        self._lock = threading.Lock()

    async def getaddrinfo(self, *question: Any) -> Found:
        """The addresses of a name; the arguments are those of `socket.getaddrinfo`.

        Raises:
            socket.gaierror: the name has none, or there was no answer in time.
        """
        asked = asyncio.wrap_future(self._ask(question))
        try:
            async with asyncio.timeout(self._seconds):
                return await asked
        except TimeoutError:
            problem = f"no answer to the name look-up within {self._seconds:g} s"
            raise socket.gaierror(socket.EAI_AGAIN, problem) from None

    def _ask(self, question: tuple[object, ...]) -> Future[Found]:
        with self._lock:
            running = self._running.get(question)
            if running is not None:
                return running
            if len(self._running) >= self._at_once:
                raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
            domain = _domain_of(question)
            if sum(_domain_of(asked) == domain for asked in self._running) >= MOST_OF_A_DOMAIN:
                problem = f"too many names of {domain} are being looked up"
                raise socket.gaierror(socket.EAI_AGAIN, problem)
            # Running, so that a caller who is cancelled does not cancel it for the others.
            answer = self._running[question] = Future[Found]()
            answer.set_running_or_notify_cancel()
        # A daemon: a look-up that hangs must not keep the process from ending.
        thread = threading.Thread(
            target=self._run, args=(question, answer), name="lookup", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no more threads
            with self._lock:
                del self._running[question]
            raise socket.gaierror(socket.EAI_AGAIN, str(error)) from None
        return answer

    def _run(self, question: tuple[object, ...], answer: Future[Found]) -> None:
        found: Found = []
        failure: Exception | None = None
        try:
            found = self._getaddrinfo(*question)
        except (OSError, ValueError, TypeError, OverflowError) as error:
            failure = error
        # First, so that nobody gets an old answer.
        with self._lock:
            del self._running[question]
        if failure:
            answer.set_exception(failure)
        else:
            answer.set_result(found)


def _domain_of(question: tuple[object, ...]) -> str:
    return ".".join(str(question[0]).lower().rstrip(".").split(".")[-2:])


CUSTOMERS_NAMES = Lookups()
"""For hosts that customers name."""
OUR_NAMES = Lookups()
"""For the hosts in this process's settings."""


class LookupLoop(asyncio.SelectorEventLoop):
    """An event loop whose look-ups take no thread of the default executor."""

    @override
    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Found:
        return await OUR_NAMES.getaddrinfo(host, port, family, type, proto, flags)
