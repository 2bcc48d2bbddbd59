"""Rooms and sessions are compared: lists are books that err, and some rooms are other people's."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from domain.agents.servers import AgentServer, JobTick
from domain.errors import StorageUnavailable
from domain.ids import SessionKey
from domain.sessions.rooms import room_metadata
from domain.sessions.session import SessionStatus
from tests.fakes.installation import INSTALLATION
from tests.fakes.reapers import reaper_of
from tests.fakes.rooms import FakeRooms, Fault

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
CALL = SessionKey("acme", "call-1")
ROOM = "acme.call-1"


class Temporal:
    """The port `SessionDirectory`."""

    def __init__(self, *live: SessionKey) -> None:
        self.live = {key: f"{key.org}.{key.session_id}" for key in live}
        self.told: list[SessionKey] = []

    async def live_sessions(self) -> dict[SessionKey, str]:
        return dict(self.live)

    async def is_open(self, key: SessionKey) -> bool:
        return key in self.live

    async def closed_from_outside(self) -> list[SessionStatus]:
        return []

    async def tell_room_is_gone(self, key: SessionKey) -> None:
        self.told.append(key)


class Heartbeats:
    """The port `SignsOfLife`: one agent server, heard anew at each look or not any more."""

    def __init__(self, job: JobTick, *, alive: bool = True, answers: bool = True) -> None:
        self.job, self.alive, self.answers = job, alive, answers
        self._looks = 0

    async def last_heartbeats(self) -> dict[str, datetime]:
        if not self.answers:
            raise StorageUnavailable("MongoDB does not answer")
        self._looks += self.alive
        return {"server": NOON + timedelta(seconds=2 * self._looks)}

    async def server(self, server_id: str) -> AgentServer | None:
        return AgentServer(
            server_id=server_id,
            agent_name="tester",
            max_jobs=4,
            draining=False,
            jobs=[self.job],
            last_heartbeat=NOON,
        )

    async def dealt_with(self, server_id: str, last_heartbeat: datetime) -> None:
        raise AssertionError("nobody is dead")

    async def condemn(self, server_id: str, job_ids: Sequence[str], at: datetime) -> None:
        raise AssertionError("nobody is dead")


def job_of(key: SessionKey, tick_age: float) -> JobTick:
    return JobTick(
        job_id="AJ_1", org=key.org, session_id=key.session_id, attempt=1, tick_age=tick_age
    )


async def with_room(installation: str | None = INSTALLATION, key: SessionKey = CALL) -> FakeRooms:
    rooms = FakeRooms()
    metadata = room_metadata(key, installation or "")
    if installation is None:
        metadata = f'{{"org": "{key.org}", "session": "{key.session_id}"}}'
    await rooms.create(f"{key.org}.{key.session_id}", metadata, 60, 60)
    return rooms


async def test_a_room_that_a_list_lost_for_a_moment_is_ours_again() -> None:
    rooms, temporal = await with_room(), Temporal(CALL)
    rooms.unbooked.add(ROOM)
    looking = asyncio.create_task(reaper_of(rooms, temporal, None).compare_rooms())
    await asyncio.sleep(0)
    rooms.unbooked.clear()

    assert (await looking).rooms_missed == 0
    assert temporal.told == []


async def test_a_room_whose_node_answers_is_alive_whatever_the_lists_say() -> None:
    rooms, temporal = await with_room(), Temporal(CALL)
    rooms.unbooked.add(ROOM)

    for _ in range(3):
        await reaper_of(rooms, temporal, None).compare_rooms()

    assert temporal.told == []
    assert ROOM in rooms.rooms


async def test_a_room_is_believed_alive_while_its_agent_is_heard() -> None:
    temporal = Temporal(CALL)
    heard = Heartbeats(job_of(CALL, 0.1))

    await reaper_of(FakeRooms(), temporal, None, signs=heard).compare_rooms()

    assert temporal.told == []


async def test_a_room_that_is_gone_is_told_once_whatever_became_of_its_agent() -> None:
    another = job_of(SessionKey("acme", "another"), 0.1)
    for signs in (
        None,
        Heartbeats(job_of(CALL, 0.1), alive=False),
        Heartbeats(job_of(CALL, 0.1), answers=False),
        Heartbeats(job_of(CALL, 60)),
        Heartbeats(another),
    ):
        temporal = Temporal(CALL)
        swept = await reaper_of(FakeRooms(), temporal, None, signs=signs).compare_rooms()
        assert (swept.rooms_missed, temporal.told) == (1, [CALL])


async def test_a_room_that_went_to_another_installation_is_gone() -> None:
    rooms, temporal = await with_room("another"), Temporal(CALL)

    await reaper_of(rooms, temporal, None).compare_rooms()

    assert temporal.told == [CALL]
    assert ROOM in rooms.rooms, "it is not ours to delete"


async def test_only_our_own_rooms_without_a_session_are_deleted() -> None:
    for installation, deleted in ((INSTALLATION, 1), ("another", 0), (None, 0)):
        rooms = await with_room(installation)
        swept = await reaper_of(rooms, Temporal(), None).compare_rooms()
        assert (swept.rooms_deleted, len(rooms.rooms)) == (deleted, 1 - deleted)


async def test_a_room_that_livekit_does_not_delete_keeps_no_other_and_is_logged_once() -> None:
    other, gone = SessionKey("acme", "call-2"), SessionKey("acme", "call-3")
    rooms, temporal = await with_room(), Temporal(gone)
    await rooms.create("acme.call-2", room_metadata(other, INSTALLATION), 60, 60)
    rooms.faults["delete", ROOM] += [Fault.AWAY] * 3
    reaper = reaper_of(rooms, temporal, None)

    with structlog.testing.capture_logs() as logged:
        swept = [await reaper.compare_rooms() for _ in range(4)]

    assert [(one.rooms_deleted, one.rooms_refused) for one in swept] == [
        (1, 1),
        (0, 1),
        (0, 1),
        (1, 0),
    ]
    assert temporal.told[:1] == [gone]
    assert [line["room"] for line in logged if line["log_level"] == "warning"] == [ROOM]


async def test_a_live_room_of_an_older_release_is_no_missing_one() -> None:
    rooms, temporal = await with_room(None), Temporal(CALL)

    await reaper_of(rooms, temporal, None).compare_rooms()

    assert (temporal.told, list(rooms.rooms)) == ([], [ROOM])
