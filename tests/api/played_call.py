"""A session of the house's whose agents are played, from its start by the API to its end."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from domain.ids import SessionKey
from domain.transcripts.transcript import Role, Turn
from services.transcripts.transcripts import Transcripts
from tests.api.house import House
from tests.fakes.agents import Crew, Lines, Plays

QUICK = {
    "join_timeout": 60,
    "ready_timeout": 60,
    "join_attempts": 1,
    "report_grace": 60,
    "caller_wait": 300,
    "summary_wait": 60,
}
"""Budgets in which nothing takes longer than it must."""


@asynccontextmanager
async def agents_in(house: House, key: SessionKey, *parts: Plays) -> AsyncGenerator[None]:
    """Agents who play these parts when this session's room is dispatched to."""
    sessions = house.services.sessions

    async def tell(message: Any) -> None:
        await sessions.signal(key, message)

    lines = Lines(claim=lambda claim: sessions.claim(key, claim), failed=tell, report=tell)
    crew = Crew(house.rooms, lines, list(parts))
    room = f"{key.org}.{key.session_id}"
    rooms = house.rooms
    before = (rooms.on_dispatch, rooms.on_data, rooms.on_removed)

    def on_dispatch(name: str, dispatch_id: str, metadata: str) -> None:
        if name == room:
            crew.on_dispatch(name, dispatch_id, metadata)

    rooms.on_dispatch = on_dispatch
    rooms.on_data = lambda name, sent: crew.on_data(name, sent) if name == room else None
    rooms.on_removed = lambda name, who: crew.on_removed(name, who) if name == room else None
    try:
        yield
    finally:
        rooms.on_dispatch, rooms.on_data, rooms.on_removed = before
        await crew.settle()


async def say(house: House, key: SessionKey, text: str) -> None:
    """One turn of the call."""
    now = datetime.now(UTC)
    turn = Turn(item_id="i", attempt=1, seq=0, role=Role.USER, text=text, created_at=now)
    await Transcripts(house.archive.transcripts).record_turns(key, [turn], now)
