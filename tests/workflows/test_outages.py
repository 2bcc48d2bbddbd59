"""LiveKit, MongoDB or the model are away: the session waits as long as it may, and says so."""

import asyncio

from activities.archive import SealTranscript
from domain.errors import InvalidInput, Unavailable
from domain.ids import archive_workflow_id, summary_workflow_id
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.summary import SummaryOrder
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.rooms import Fault
from tests.waiting import eventually
from tests.workflows.calls import Studio
from tests.workflows.evidence import activities_scheduled, in_order
from tests.workflows.scenes import beside_the_others, takes_long
from workflows.archive import ArchiveWorkflow
from workflows.summary import SummaryWorkflow


@beside_the_others
async def test_livekit_is_away_as_the_room_is_opened(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["create", call.room] += [Fault.AWAY, Fault.AWAY, Fault.DONE_THEN_SILENT]
    await call.live()
    await call.end()

    closed = await call.closed()

    assert studio.rooms.count("create", call.room) == 3, "the fourth try found the room"
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_a_room_that_livekit_refuses_ends_the_session(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.faults["create", call.room] += [Fault.REFUSED]
    await call.start()

    closed = await call.closed()

    assert closed.ended == ("failed", "failed")
    assert closed.status.reason == "LiveKit refuses"
    assert call.dispatched_attempts() == []


@beside_the_others
async def test_a_room_that_exists_for_another_session_is_not_touched(studio: Studio) -> None:
    owner = '{"org": "acme", "session": "somebody-else"}'
    call = studio.call()
    await studio.rooms.create(call.room, owner, 60, 60)
    await call.start()

    closed = await call.closed()

    assert closed.ended == ("failed", "room_name_taken")
    assert studio.rooms.rooms[call.room].metadata == owner
    assert studio.rooms.count("delete", call.room) == 0
    assert call.dispatched_attempts() == []


@beside_the_others
async def test_the_end_is_requested_while_the_room_cannot_be_opened(studio: Studio) -> None:
    call = studio.call()
    studio.rooms.away.add(call.room)
    await call.start()
    await eventually(lambda: studio.rooms.count("list_rooms", call.room) > 0)
    await call.end()

    ending = await call.until("over", lambda s: s.state in ("closing", "closed"))
    studio.rooms.away.discard(call.room)
    closed = await call.closed()

    assert ending.dispatches == 0
    assert closed.ended == ("cancelled", "end_requested")


@beside_the_others
async def test_livekit_is_away_as_the_room_is_deleted(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False), room_deletion_wait=1).live()
    studio.rooms.away.add(call.room)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed_first = await call.until("closed", lambda status: status.state == "closed")
    described = await call.description()
    assert described.status is not None
    assert described.status.name == "RUNNING", "it stays open until the room is gone"
    assert call.room in studio.rooms.rooms
    studio.rooms.away.discard(call.room)
    closed = await call.closed()

    assert not closed_first.room_deleted
    assert closed.status.room_deleted
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_a_room_whose_deletion_is_refused_is_tried_again(studio: Studio) -> None:
    call = await studio.call(room_deletion_wait=1).live()
    studio.rooms.faults["delete", call.room] += [Fault.DONE_THEN_SILENT]
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert call.room not in studio.rooms.rooms
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_a_deletion_that_livekit_refuses_for_long_adds_no_history(studio: Studio) -> None:
    call = await studio.call(room_deletion_wait=60).live()
    studio.rooms.faults["delete", call.room] += [Fault.REFUSED] * 4
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert studio.rooms.count("delete", call.room) == 5
    assert activities_scheduled(closed.history)["delete_room"] == 2, (
        "one that the close waits for, and one that insists"
    )
    assert call.room not in studio.rooms.rooms
    assert in_order(closed.told, "the room is not deleted yet: LiveKit refuses", "room deleted")
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_a_room_that_is_someone_elses_by_now_is_not_deleted(studio: Studio) -> None:
    call = await studio.call().live()
    studio.rooms.rooms[call.room].metadata = '{"org": "acme", "session": "the-next"}'
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert call.room in studio.rooms.rooms
    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_agents_that_cannot_be_removed_do_not_stop_the_session(studio: Studio) -> None:
    call = studio.call(NEVER_COMES, Plays(), join_timeout=1)
    studio.rooms.faults["dispatches", call.room] += [Fault.AWAY]
    studio.rooms.faults["delete_dispatch", call.room] += [Fault.REFUSED]
    await call.live()
    await call.end()

    closed = await call.closed()

    assert in_order(closed.told, "attempt 1 not removed: LiveKit refuses", "attempt 2")
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
@takes_long
async def test_an_agent_that_cannot_be_told_is_removed(studio: Studio) -> None:
    call = await studio.call(report_grace=30).live()
    studio.rooms.faults["send_data", call.room] += [Fault.REFUSED]
    await call.end()

    closed = await call.closed()

    assert in_order(closed.told, "the agent could not be told: LiveKit refuses", "report of 2")
    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_an_archive_that_is_at_work_already_is_left_to_it(studio: Studio) -> None:
    call = await studio.call(archive_wait=3).live()
    studio.archive.switch.away.add(call.key)
    order = SealTranscript(**call.key._asdict(), agent_id=None, last_attempt=1)
    archive = await studio.client.start_workflow(
        ArchiveWorkflow.run,
        order,
        id=archive_workflow_id(call.key),
        task_queue=studio.settings.temporal_task_queue,
    )
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    status = await call.until("closed", lambda status: status.state == "closed")
    studio.archive.switch.away.discard(call.key)
    closed = await call.closed()

    assert status.archived is False
    assert closed.ended == ("completed", "agent_ended")
    assert await archive.result() is False, "no report was stored, only signalled"
    assert await call.summary_closed() == "ready"


@beside_the_others
async def test_mongodb_is_away_during_the_whole_call(studio: Studio) -> None:
    call = studio.call(archive_wait=5)
    await call.says("First", "Second")
    studio.archive.switch.away.add(call.key)
    await call.live()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed_status = await call.until("closed", lambda status: status.state == "closed")
    assert closed_status.archived is False
    assert call.room not in studio.rooms.rooms, "the room does not wait for MongoDB"
    assert in_order(
        [entry.text for entry in closed_status.timeline],
        "the record could not be written, it follows at the end",
        "the transcript is sealed later: MongoDB did not answer",
    )
    studio.archive.switch.away.discard(call.key)
    closed = await call.closed()
    archived = await studio.client.get_workflow_handle(archive_workflow_id(call.key)).result()

    assert archived is False, "no report was stored, only signalled"
    assert closed.ended == ("completed", "agent_ended")
    header = await studio.archive.transcripts.header(call.key)
    assert header is not None
    assert header.turn_count == 2
    assert await call.summary_closed() == "ready"
    records = studio.archive.sessions.records[call.key]
    assert [record.state for record in records] == ["closed"]
    assert records[0].outcome == "completed"


@beside_the_others
async def test_a_slow_summary_does_not_hold_the_room(studio: Studio) -> None:
    call = await studio.call(summary_wait=1).live()
    await call.says("slow to summarise")
    written = studio.summariser.gates["slow to summarise"] = asyncio.Event()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.status.summary == "pending"
    written.set()
    assert await call.summary_closed() == "ready"
    assert [s.status for s in studio.archive.summaries.records[call.key]] == ["pending", "ready"]


@beside_the_others
async def test_a_summary_that_fails_once_is_tried_again(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("fails once")
    studio.summariser.faults["fails once"] = [Unavailable("the model is busy")]
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.status.summary == "ready"
    records = studio.archive.summaries.records[call.key]
    assert [(s.status, s.attempts, s.error) for s in records] == [
        ("pending", 0, None),
        ("pending", 1, "the model is busy"),
        ("ready", 2, None),
    ]


@beside_the_others
async def test_a_summary_that_cannot_be_made_has_failed_with_its_reason(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("refused")
    studio.summariser.faults["refused"] = [InvalidInput("no model of that name")]
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended"), "a summary decides nothing"
    assert closed.status.summary == "failed"
    last = studio.archive.summaries.records[call.key][-1]
    assert (last.status, last.attempts, last.error) == ("failed", 1, "no model of that name")


@beside_the_others
@takes_long
async def test_a_summary_whose_model_stays_away_gives_up(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("never answered")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()
    assert await call.summary_closed() == "ready"
    studio.summariser.faults["never answered"] = [Unavailable("the model is away")] * 99

    order = SummaryOrder(**call.key._asdict(), revision=2, patience=8)
    ended = await studio.client.execute_workflow(
        SummaryWorkflow.run,
        order,
        id=summary_workflow_id(call.key),
        task_queue=studio.settings.temporal_task_queue,
    )

    assert ended == "failed"
    last = studio.archive.summaries.records[call.key][-1]
    assert (last.revision, last.status, last.error) == (2, "failed", "the model is away")
    assert last.attempts > 1
    assert studio.summariser.calls.count("never answered") == 1 + last.attempts
