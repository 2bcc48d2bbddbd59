"""Servers that take connections and never say a word, as one does that hangs."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Silent:
    """Silent servers by their names.

    Attributes:
        connections: how many each has.
        together: who had one at the same time as others, the most there were.
    """

    connections: Counter[str] = field(default_factory=Counter[str])
    together: set[str] = field(default_factory=set[str])

    @property
    def asked(self) -> set[str]:
        """Who has a connection."""
        return set(+self.connections)

    @asynccontextmanager
    async def server(self, name: str) -> AsyncGenerator[int]:
        """The port of one of them."""

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections[name] += 1
            self.together = max(self.together, self.asked, key=len)
            try:
                while await reader.read(1_024):
                    pass
            finally:
                self.connections[name] -= 1
                writer.close()

        async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]
