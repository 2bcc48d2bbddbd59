"""The job that the bench kills is the one of its own call, whatever earlier calls left behind."""

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from bench import silences
from bench.errors import BenchError
from bench.silences import _job_since, _jobs  # pyright: ignore[reportPrivateUsage]
from bench.stand import Stand

_JOB = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))):
    sys.stdin.read()
"""


@contextmanager
def job(port: int) -> Generator[int]:
    """A process of this one, which stands for the agent server, connected to "LiveKit"."""
    command = [sys.executable, "-c", _JOB, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


async def livekit() -> asyncio.Server:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    return await asyncio.start_server(hold, "127.0.0.1", 0)


def stand_at(port: int) -> Stand:
    def process(name: str) -> SimpleNamespace:
        return SimpleNamespace(pid=psutil.Process().pid)

    urls = SimpleNamespace(livekit=f"ws://127.0.0.1:{port}")
    return cast(Stand, SimpleNamespace(stack=SimpleNamespace(process=process, urls=urls)))


async def test_the_job_of_an_earlier_round_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silences, "PATIENCE_SECONDS", 30.0)
    async with await livekit() as server:
        port = server.sockets[0].getsockname()[1]
        stand = stand_at(port)
        with job(port) as earlier:
            first = await _job_since(stand, set())
            before = await _jobs(stand)
            with job(port) as own:
                found = await _job_since(stand, before)
                assert (first.pid, found.pid) == (earlier, own)

                monkeypatch.setattr(silences, "PATIENCE_SECONDS", 0.2)
                with pytest.raises(BenchError, match="2 new jobs"):
                    await _job_since(stand, set())
