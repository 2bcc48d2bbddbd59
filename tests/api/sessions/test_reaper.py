"""The reaper closes what was terminated, however many calls are open at the same time."""

from datetime import UTC, datetime

from adapters.temporal.directory import TemporalSessionDirectory
from adapters.temporal.runs import TemporalArchiveRuns
from domain.ids import SessionKey
from domain.sessions.session import SessionState, SessionStatus
from domain.transcripts.transcript import AgentReport
from services.access.quotas import SlotSweep
from services.transcripts.transcripts import Transcripts
from tests.adapters.mongo.examples import conversation
from tests.api.archives import PastCalls
from tests.api.house import House, Tenant, unique
from tests.fakes.reapers import reaper_of
from tests.fakes.rooms import FakeRooms
from tests.waiting import eventually

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
START_OF_TESTS = datetime.now(UTC)
FIRST, LAST = "0", "z"
"""Beginnings of orgs that stand before and behind all others in the archive."""


async def open_record(house: House, org: str, session_id: str) -> SessionKey:
    """The record of a session that was live when it last said something of itself."""
    live = PastCalls(house.archive, org).status(
        session_id, LONG_AGO, 5, None, state=SessionState.LIVE, outcome=None, end_reason=None
    )
    said = {"closed_at": None, "ended_at": None, "caller_joined_at": LONG_AGO}
    await house.archive.sessions.record(live.model_copy(update={**said, "caller_present": True}))
    return SessionKey(org, session_id)


async def state_of(house: House, key: SessionKey) -> SessionState:
    found = await house.archive.sessions.get(key)
    assert found is not None
    return found.state


async def test_what_was_terminated_is_closed_whatever_else_is_open(house: House) -> None:
    before, org = unique(FIRST), unique(LAST)
    async with house.open() as app:
        for owner, name in ((before, "open"), (org, "cut-short")):
            started = await Tenant(app, await house.key(owner)).start(name)
            assert started.status_code == 202
            await open_record(house, owner, name)
    cut_short = SessionKey(org, "cut-short")
    await house.terminate(cut_short)
    directory = TemporalSessionDirectory(house.temporal)

    async def listed() -> bool:
        known = await directory.closed_from_outside()
        return cut_short.session_id in [one.session_id for one in known if one.org == org]

    await eventually(listed, what="Temporal's list, which is a moment behind, has it")

    await reaper_of(house.rooms, directory, house.archive.sessions, records_at_once=1).sweep()

    assert await state_of(house, cut_short) is SessionState.CLOSED
    assert await state_of(house, SessionKey(before, "open")) is SessionState.LIVE
    await house.terminate(SessionKey(before, "open"))


async def test_what_was_said_before_a_termination_is_sealed_and_summarised(house: House) -> None:
    org = unique("cut")
    key = SessionKey(org, "in-the-middle")
    transcripts = Transcripts(house.archive.transcripts)
    async with house.open() as app:
        tenant = Tenant(app, await house.key(org))
        assert (await tenant.start(key.session_id)).status_code == 202
        await open_record(house, org, key.session_id)
        await transcripts.record_turns(key, conversation("caller: Hello", "agent: Hi"), LONG_AGO)
        await transcripts.record_report(key, AgentReport(attempt=1), LONG_AGO)
        await house.terminate(key)
        directory = TemporalSessionDirectory(house.temporal)
        runs = TemporalArchiveRuns(house.temporal, house.settings.temporal_task_queue)
        reaper = reaper_of(house.rooms, directory, house.archive.sessions, archives=runs)

        async def closed() -> bool:
            await reaper.sweep()
            return await state_of(house, key) is SessionState.CLOSED

        async def summarised() -> bool:
            found = await tenant.http.get(f"/v1/sessions/{key.session_id}/summary")
            return found.status_code == 200 and found.json()["status"] == "ready"

        await eventually(closed, what="Temporal's list, which is a moment behind, has it")
        await eventually(summarised, what="the archive's workflow has done it")
        again = await tenant.http.post(f"/v1/sessions/{key.session_id}/summary")
        answered = (await tenant.http.get(f"/v1/sessions/{key.session_id}")).json()

    header = await transcripts.header(key)
    assert header is not None
    assert (header.turn_count, header.attempts) == (2, 1)
    assert again.status_code == 202
    record = await house.archive.sessions.get(key)
    assert record is not None
    assert record.closed_at is not None
    assert record.ended_at == record.closed_at
    assert record.closed_at > START_OF_TESTS, "when it was terminated, not when it was joined"
    assert (record.room_deleted, record.caller_present) == (True, False)
    assert answered["ended_at"] is not None
    assert answered["state"] == "closed"


class Temporal:
    """The port `SessionDirectory`: some sessions are open, some of those are live."""

    def __init__(self, starting: set[SessionKey], live: set[SessionKey]) -> None:
        self.starting, self.live = starting, live
        self.asked: list[SessionKey] = []

    async def live_sessions(self) -> dict[SessionKey, str]:
        return {key: f"{key.org}.{key.session_id}" for key in self.live}

    async def is_open(self, key: SessionKey) -> bool:
        self.asked.append(key)
        return key in self.starting | self.live

    async def closed_from_outside(self) -> list[SessionStatus]:
        return []

    async def tell_room_is_gone(self, key: SessionKey) -> None:
        """Nobody is there to be told."""


async def test_the_walk_over_open_records_goes_on_and_round(house: House) -> None:
    first = await open_record(house, unique(FIRST), "live")
    starting = await open_record(house, unique(LAST), "starting")
    forgotten = await open_record(house, unique(LAST + LAST), "of a lost Temporal")
    directory = Temporal({starting}, {first})
    reaper = reaper_of(FakeRooms(), directory, house.archive.sessions, records_at_once=1)

    async def closed(key: SessionKey) -> bool:
        await reaper.sweep()
        return await state_of(house, key) is SessionState.CLOSED

    await eventually(lambda: closed(forgotten), what="behind all open ones")
    late = await open_record(house, unique(FIRST), "late")
    await eventually(lambda: closed(late), what="before the place where the walk was")

    assert starting in directory.asked
    assert first not in directory.asked, "Temporal's list has said that it is live"
    for open_one in (first, starting):
        assert await state_of(house, open_one) is SessionState.LIVE


async def test_the_walk_over_slots_goes_on_and_round(house: House) -> None:
    slots = house.archive.slots
    first, behind = SessionKey(unique(FIRST), "open"), SessionKey(unique(LAST), "never-started")
    sweep = SlotSweep(slots, house.listing, at_once=1)
    assert await slots.claim(first, 5)
    assert await slots.claim(behind, 5)

    async def freed() -> bool:
        await sweep.sweep({first})
        return not await slots.taken(behind.org)

    await eventually(freed, what="seen twice without a workflow")
    assert await slots.taken(first.org)
    await slots.free(first)
