"""What the caller types: text streams on `lk.chat`, up to limits.

The SDK's own reader takes any amount of text, and answers each message by itself.
"""

import asyncio
from collections.abc import Callable

import structlog
from livekit import rtc

log = structlog.stdlib.get_logger(__name__)

MESSAGE_CHARS = 10_000
"""Longer messages are cut."""
TOTAL_CHARS = 500_000
"""Of all messages of an attempt; what is typed after that is ignored."""
AT_ONCE = 8
"""Messages that are read at the same time; others are ignored."""
MESSAGE_SECONDS = 30.0
"""How long a message may take to arrive; then it is cut."""


class TypedText:
    """Collects what the caller types until it is taken."""

    def __init__(self, is_caller: Callable[[str], bool], heard: Callable[[], None]) -> None:
        """`is_caller` tells whose messages count; `heard` is called with each of them."""
        self._is_caller = is_caller
        self._heard = heard
        self._waiting: list[str] = []
        self._new = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()
        self._left = TOTAL_CHARS

    def stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        """Read a message; LiveKit's handler of text streams."""
        if not self._is_caller(identity) or self._left <= 0 or len(self._reading) >= AT_ONCE:
            reader.close()
            return
        task = asyncio.create_task(self._read(reader))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def take(self) -> str | None:
        """All messages that wait, as one; None if there is none."""
        self._new.clear()
        taken, self._waiting = self._waiting, []
        return "\n".join(taken) or None

    async def next(self) -> str:
        """Wait for messages, and take them."""
        while True:
            await self._new.wait()
            if text := self.take():
                return text

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        text = ""
        try:
            async with asyncio.timeout(MESSAGE_SECONDS):
                async for chunk in reader:
                    text += chunk
                    if len(text) > MESSAGE_CHARS:
                        log.warning("typed_message_cut", chars=MESSAGE_CHARS)
                        break
        except (TimeoutError, rtc.StreamError) as error:
            log.warning("typed_message_cut", why=type(error).__name__)
        finally:
            reader.close()
        text = text[: min(MESSAGE_CHARS, self._left)]
        if not text.strip():
            return
        self._left -= len(text)
        if self._left <= 0:
            log.error("typed_text_ignored_from_now_on", chars=TOTAL_CHARS)
        self._waiting.append(text)
        self._new.set()
        self._heard()
