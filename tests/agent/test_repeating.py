"""What an agent server does again and again outlasts its own faults."""

import asyncio

import structlog

from agent.repeating import repeat
from tests.waiting import eventually


async def test_what_fails_is_logged_and_done_again() -> None:
    faults: list[Exception] = [OSError("the disk is gone"), KeyError("a fault of ours")]
    done: list[None] = []

    async def work() -> None:
        if faults:
            raise faults.pop(0)
        done.append(None)

    with structlog.testing.capture_logs() as logged:
        repeating = asyncio.create_task(repeat("drain", work, pause=0, pause_after_failure=0))
        await eventually(lambda: len(done) >= 2, 30)
        repeating.cancel()

    assert [(line["what"], bool(line.get("exc_info"))) for line in logged if "what" in line] == [
        ("drain", True),
        ("drain", True),
    ]
