"""The reaper in an outage: it does what is possible, and names the rest."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from adapters.livekit.errors import LiveKitMisconfigured
from domain.errors import EverlineError, StorageUnavailable, Unavailable
from domain.ids import SessionKey
from domain.paging import Page
from domain.sessions.ports import Room
from domain.sessions.rooms import room_metadata
from domain.sessions.session import SessionState, SessionStatus, WaitingFor
from tests.fakes.installation import INSTALLATION
from tests.fakes.reapers import reaper_of
from tests.fakes.rooms import FakeRooms

KEY = SessionKey("acme", "forgotten")


class LiveKit(FakeRooms):
    """May be away as a whole."""

    error: EverlineError | None = None

    async def list_rooms(self, names: Sequence[str] | None = None) -> list[Room]:
        if self.error:
            raise self.error
        return await super().list_rooms(names)


class Temporal:
    """No session is open."""

    error: EverlineError | None = None

    async def live_sessions(self) -> dict[SessionKey, str]:
        if self.error:
            raise self.error
        return {}

    async def is_open(self, key: SessionKey) -> bool:
        return False

    async def closed_from_outside(self) -> list[SessionStatus]:
        return []

    async def tell_room_is_gone(self, key: SessionKey) -> None:
        """Nobody is there to be told."""


class Records:
    """One record is still open."""

    error: EverlineError | None = None

    def __init__(self) -> None:
        self.closed: list[SessionKey] = []

    async def not_closed(self, limit: int, after: str | None = None) -> Page[SessionStatus]:
        if self.error:
            raise self.error
        status = SessionStatus(
            org=KEY.org,
            session_id=KEY.session_id,
            room_name="",
            state=SessionState.LIVE,
            waiting_for=WaitingFor.CALL_END,
            version=3,
            agent_name="tester",
            started_at=datetime(2030, 1, 1, tzinfo=UTC),
        )
        return Page([status], None)

    async def get(self, key: SessionKey) -> SessionStatus | None:
        return None

    async def record(self, status: SessionStatus) -> None:
        self.closed.append(SessionKey(status.org, status.session_id))


AWAY = [Unavailable("LiveKit does not answer"), LiveKitMisconfigured("the key is not valid there")]


@pytest.mark.parametrize("error", AWAY, ids=["away", "refuses the key"])
async def test_without_livekit_records_are_closed(error: EverlineError) -> None:
    livekit, records = LiveKit(), Records()
    livekit.error = error

    swept = await reaper_of(livekit, Temporal(), records).sweep()

    assert swept.not_done == [f"rooms: {error.message}"]
    assert records.closed == [KEY]
    assert swept.records_closed == 1


async def test_without_mongodb_rooms_are_deleted() -> None:
    livekit, records = LiveKit(), Records()
    records.error = StorageUnavailable("MongoDB does not answer")
    await livekit.create("acme.forgotten", room_metadata(KEY, INSTALLATION), 60, 60)

    swept = await reaper_of(livekit, Temporal(), records).sweep()

    assert swept.not_done == ["open records: MongoDB does not answer"]
    assert (swept.rooms_deleted, livekit.rooms) == (1, {})


async def test_without_temporal_nothing_is_concluded() -> None:
    livekit, temporal, records = LiveKit(), Temporal(), Records()
    temporal.error = Unavailable("Temporal does not answer")
    await livekit.create("acme.forgotten", room_metadata(KEY, INSTALLATION), 60, 60)

    swept = await reaper_of(livekit, temporal, records).sweep()

    assert swept.not_done == ["nothing was compared: Temporal does not answer"]
    assert list(livekit.rooms) == ["acme.forgotten"]
    assert records.closed == []


async def test_the_watchdog_hears_that_livekit_is_away() -> None:
    livekit = LiveKit()
    livekit.error = Unavailable("LiveKit does not answer")

    with pytest.raises(Unavailable):
        await reaper_of(livekit, Temporal(), None).compare_rooms()
