"""Says what a command waits for, as soon as that takes longer than a person expects."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from stack.supervision.health import NotHealthyError, fetch_agent_health

SAID_AFTER = 3.0
"""Seconds without a word after which a command says what it waits for."""
SAID_AGAIN_AFTER = 15.0


def _say(line: str) -> None:
    """Print on standard error, because standard output may be read by a program."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def waiting_for(
    what: str | Callable[[], str], say: Callable[[str], None] = _say, after: float = SAID_AFTER
) -> Generator[None]:
    """Say what the block waits for when it has taken `after` seconds, and every 15 s after that.

    A function as `what` is called in another thread, so it may look into the reason.
    """
    over = threading.Event()
    began = time.monotonic()

    def remind() -> None:
        pause = after
        while not over.wait(pause):
            pause = SAID_AGAIN_AFTER
            seconds = time.monotonic() - began
            text = what if isinstance(what, str) else what()
            if not over.is_set():
                say(f"… waiting for {text}  {seconds:.0f} s so far")

    threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def agent_to_join(api: str) -> str:
    """What the start of a session waits for, with what it lacks by `/health/agent`."""
    try:
        health = asyncio.run(fetch_agent_health(api.rstrip("/")))
    except NotHealthyError as problem:
        return f"the API: {problem}"
    checks = (health.temporal, health.livekit, health.agents)
    fault = next((check for check in checks if not check.ok), None)
    if fault is None:
        return "the agent to join"
    return f"the agent to join: {fault.detail}" + (f"; {fault.cure}" if fault.cure else "")
