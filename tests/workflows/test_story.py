"""Whole calls: how they go, and every way in which they end."""

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import EndRequest, Finalise
from tests.fakes.agents import NEVER_COMES, Plays
from tests.workflows.calls import Studio
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others, takes_long


@beside_the_others
async def test_a_call_that_the_agent_ends_is_completed(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("Hello", "Good morning")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert in_order(
        closed.told,
        "room created",
        "attempt 1: dispatched to test-agent",
        "is in the room, ready",
        "caller caller is in the room",
        "attempt 1: report of 2 turns, agent_ended",
        "ending: the agent reported the end",
        "transcript sealed",
        "summary ready",
    ), closed.told
    assert in_order(closed.told, "ending: the agent reported the end", "room deleted")
    assert (closed.status.dispatches, closed.status.joins, closed.status.attempt) == (1, 1, 1)
    assert (closed.status.archived, closed.status.summary) == (True, "ready")
    assert [record.state for record in studio.archive.sessions.records[call.key]] == [
        "live",
        "ending",
        "closed",
    ]
    assert call.crew.told == [], "an agent that has ended is not asked to"


@beside_the_others
async def test_whom_the_agent_does_not_hear_is_no_caller(studio: Studio) -> None:
    call = await studio.call(caller_wait=10).live(with_caller=False)
    await call.stranger_joins()

    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "caller_never_joined")


@beside_the_others
async def test_a_call_ends_with_its_caller_whoever_else_stays(studio: Studio) -> None:
    call = await studio.call().live()
    await call.stranger_joins()
    await call.until("noted", lambda s: any("else: bob is in" in e.text for e in s.timeline))
    await call.caller_leaves()

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")


@beside_the_others
async def test_a_caller_who_never_comes_ends_the_call(studio: Studio) -> None:
    call = await studio.call(caller_wait=1).live(with_caller=False)

    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "caller_never_joined")
    assert call.crew.told == ["caller_never_joined"]
    assert closed.status.report_received


@beside_the_others
async def test_no_agent_ever(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, join_timeout=1).start()

    closed = await call.closed()

    assert closed.ended == ("agent_never_joined", "agent_never_joined")
    assert call.dispatched_attempts() == [1, 2]
    assert studio.rooms.count("create", call.room) == 1
    assert closed.status.agent_joined is False
    assert in_order(closed.told, "attempt 1 failed: no agent within 1 s", "attempt 2 failed")


@beside_the_others
async def test_a_caller_who_leaves_for_good_ends_the_call(studio: Studio) -> None:
    call = await studio.call().live()
    await call.caller_leaves()

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")
    assert call.crew.told == ["caller_left"]
    assert in_order(closed.told, "caller caller left", "ending: the caller left", "report of 2")


@beside_the_others
async def test_a_page_reload_is_not_an_end(studio: Studio) -> None:
    call = await studio.call(caller_return=600).live()
    await call.caller_leaves("PA_caller")
    away = await call.until("waits for the caller", lambda s: s.waiting_for == "caller_return")
    await call.caller_joins("PA_after_reload")
    await call.until("the caller is back", lambda s: s.waiting_for == "call_end")
    assert away.state == "live"
    # The webhook of the old connection's end comes again, late: it means the old connection.
    await call.caller_leaves("PA_caller")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_the_new_connection_may_be_heard_of_before_the_old_one_ends(studio: Studio) -> None:
    call = await studio.call(caller_return=0).live()
    await call.caller_joins("PA_after_reload")
    await call.caller_leaves("PA_caller")
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")


@beside_the_others
async def test_the_maximum_duration_ends_the_call(studio: Studio) -> None:
    call = await studio.call(max_duration=1).live()

    closed = await call.closed()

    assert closed.ended == ("completed", "max_duration")
    assert call.crew.told == ["max_duration"]


@beside_the_others
async def test_an_end_lets_the_agent_finish_and_report(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("Goodbye")
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert closed.status.reason == "the end was requested by a test"
    assert call.crew.told == ["end_requested"]
    assert studio.rooms.count("remove_participant", call.room) == 0
    assert in_order(closed.told, "ending: the end was requested", "report of 2", "room deleted")


@beside_the_others
@takes_long
async def test_an_agent_that_does_not_listen_is_removed_and_still_reports(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False), report_grace=30).live()
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert studio.rooms.count("remove_participant", call.room) == 1


@beside_the_others
async def test_no_report_ever(studio: Studio) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=3).live()
    await call.says("This was streamed")
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("report_missing", "end_requested")
    header = await studio.archive.transcripts.header(call.key)
    assert header is not None
    assert (header.complete, header.turn_count) == (False, 1)
    assert closed.status.summary == "ready"


@beside_the_others
async def test_a_report_after_the_close_changes_nothing(studio: Studio) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=1).live()
    await call.end()
    before = await call.closed()

    assert not await call.gateway.signal(call.key, await call.crew.report(1, ReportEnd.AGENT_ENDED))

    assert await call.status() == before.status


@beside_the_others
async def test_a_foreign_agent_counts_as_soon_as_it_is_there(studio: Studio) -> None:
    call = await studio.call(Plays(foreign=True)).live()
    status = await call.status()
    await call.end()

    closed = await call.closed()

    assert status.foreign_agent
    assert closed.ended == ("completed", "end_requested")
    assert call.crew.told == [], "it would not understand our message"
    assert studio.rooms.count("remove_participant", call.room) >= 1


@beside_the_others
async def test_the_room_is_closed_under_the_call(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False), report_grace=1).live()
    await call.livekit_closes_the_room()

    closed = await call.closed()

    assert closed.ended == ("room_lost", "room_deleted")


@beside_the_others
async def test_a_room_that_the_agent_closed_is_not_lost(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False)).live()
    await call.livekit_closes_the_room()
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")


@beside_the_others
async def test_the_end_is_requested_before_any_agent_is_there(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    await call.until("dispatched", lambda status: status.agent_dispatched)
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("cancelled", "end_requested")
    assert call.dispatched_attempts() == [1]
    assert studio.rooms.count("delete_dispatch", call.room) == 1, "no agent may come later"


@beside_the_others
async def test_without_mongodb_nothing_is_persisted(studio: Studio) -> None:
    call = await studio.call(archive=False).live()
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert (closed.status.archived, closed.status.summary) == (None, None)
    assert call.key not in studio.archive.sessions.records


@beside_the_others
async def test_an_operator_finalises(studio: Studio) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=600).live()
    await call.update(Finalise(by="ops"))

    closed = await call.closed()

    assert closed.ended == ("report_missing", "operator")
    assert closed.status.reason == "finalised by ops"


@beside_the_others
async def test_finalising_cuts_the_wait_for_the_report_short(studio: Studio) -> None:
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=600).live()
    await call.end()
    await call.until("waits for the report", lambda status: status.waiting_for == "report")
    await call.update(Finalise(by="ops"))

    closed = await call.closed()

    assert closed.ended == ("report_missing", "end_requested")


@beside_the_others
async def test_the_first_reason_to_end_is_the_reason(studio: Studio) -> None:
    # It reports only once everybody has asked.
    silent = Plays(report_when_told=False, report_when_removed=False)
    call = await studio.call(silent, report_grace=600).live()
    await call.end()
    await call.tell(EndRequest(event_id=call.event_id(), by="somebody else"))
    await call.handle.cancel()
    await call.crew.report(1, ReportEnd.END_REQUESTED)

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert closed.status.reason == "the end was requested by a test"
