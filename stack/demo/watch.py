"""Follows a session's event stream."""

import asyncio
from collections.abc import Callable

from stack.demo.answers import Status, Turn
from stack.demo.client import ApiRefusedError, SessionClient

_RECONNECTS = 20
_PAUSE = 0.5


class Watch:
    """Keeps a session's turns and its latest status as they are streamed."""

    def __init__(self, client: SessionClient, on_turn: Callable[[Turn], None]) -> None:
        self.status: Status | None = None
        self.turns: list[Turn] = []
        self._client = client
        self._on_turn = on_turn
        self._seen: set[str] = set()
        self._changed = asyncio.Condition()

    async def follow(self) -> None:
        """Read the stream to its end; after a reconnect, skip events with known ids.

        Raises:
            ApiRefusedError: it broke too often.
        """
        for _ in range(_RECONNECTS):
            try:
                async for event in self._client.events():
                    await self._take_in(event.kind, event.id, event.data)
                return
            except ApiRefusedError:
                await asyncio.sleep(_PAUSE)
        raise ApiRefusedError(f"the event stream broke {_RECONNECTS} times")

    async def until(self, wanted: Callable[["Watch"], bool], within: float) -> None:
        """Wait until the events so far meet a condition.

        Raises:
            TimeoutError: it did not within that many seconds.
        """
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: wanted(self))

    async def _take_in(self, kind: str, event_id: str, data: str) -> None:
        if event_id in self._seen:
            return
        self._seen.add(event_id)
        async with self._changed:
            if kind == "turn":
                turn = Turn.model_validate_json(data)
                self.turns.append(turn)
                self._on_turn(turn)
            elif kind == "state":
                self.status = Status.model_validate_json(data)
            self._changed.notify_all()
