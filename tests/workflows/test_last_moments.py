"""What becomes of callers, times and outcome as a call ends."""

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import ParticipantChange, ParticipantKind, Redispatch, agent_lost
from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.evidence import in_order
from tests.workflows.scenes import beside_the_others

MUTE = Plays(report_when_told=False, report_when_removed=False)
EXTERNAL = Plays(foreign=True, report_when_told=False, report_when_removed=False)


async def _room_is_deleted(call: Call) -> str:
    """Wait until the room is gone; returns the session's state at that moment."""

    async def gone() -> bool:
        return call.room not in call.studio.rooms.rooms

    await eventually(gone, what="the room is deleted")
    return (await call.status()).state


async def _job(call: Call) -> str:
    return f"AJ_{(await call.status()).agent_identity}"


@beside_the_others
async def test_the_room_of_an_external_agent_stays_for_its_report(studio: Studio) -> None:
    call = await studio.call(EXTERNAL, report_grace=600).live()
    await call.end()
    await call.until("waits for the report", lambda status: status.waiting_for == "report")
    await call.agent_leaves("participant_removed")
    assert call.room in studio.rooms.rooms

    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    closed = await call.closed()
    assert closed.ended == ("completed", "end_requested")
    assert in_order(closed.told, "report of 2 turns", "room deleted")


@beside_the_others
async def test_callers_whose_external_agent_was_removed_are_disconnected(studio: Studio) -> None:
    call = await studio.call(EXTERNAL, report_grace=600, archive=False).live()
    studio.rooms.join(call.room, "recorder", "egress")
    studio.rooms.join(call.room, "whatsapp", "connector")
    await call.end()

    def left() -> list[str]:
        return sorted(studio.rooms.rooms[call.room].participants)

    await eventually(lambda: left() == ["recorder"], what="agent and callers are gone")
    assert (await call.status()).state == "ending"
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_callers_do_not_wait_for_the_report_of_an_agent_that_left(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    await call.end()
    await eventually(lambda: call.crew.told == ["end_requested"], what="the agent is told")
    await call.agent_leaves("CLIENT_INITIATED")

    assert await _room_is_deleted(call) == "ending"

    await call.crew.report(1, ReportEnd.END_REQUESTED)
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_agent_that_reconnects_as_the_call_ends_may_say_goodbye(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600, lost_report_grace=5).live()
    await call.agent_reconnects()
    await call.end()
    await call.until("ending", lambda status: status.state == "ending")
    await call.until("found", lambda s: any("is in the room again" in e.text for e in s.timeline))
    assert call.room in studio.rooms.rooms

    await call.agent_leaves("CLIENT_INITIATED")
    assert await _room_is_deleted(call) == "ending"
    await call.crew.report(1, ReportEnd.END_REQUESTED)
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_nobody_waits_for_the_report_of_a_dead_agent(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    await call.end()
    await eventually(lambda: call.crew.told == ["end_requested"], what="the agent is told")
    await call.tell(agent_lost(1, await _job(call), "its process was killed"))

    closed = await call.closed()

    assert closed.ended == ("report_missing", "end_requested")


@beside_the_others
async def test_a_fault_after_a_requested_end_is_no_loss(studio: Studio) -> None:
    call = await studio.call(MUTE, report_grace=600).live()
    await call.end()
    await eventually(lambda: call.crew.told == ["end_requested"], what="the agent is told")
    await call.tell(call.failure(1, "LiveKit does not answer"))
    await call.crew.report(1, ReportEnd.ERROR)

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_end_after_an_operators_redispatch_is_no_loss(studio: Studio) -> None:
    call = await studio.call(Plays(report_when_told=False), NEVER_COMES).live()
    await call.update(Redispatch(by="ops"))
    await call.until("dispatched again", lambda status: status.dispatches == 2)
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("completed", "end_requested")
    assert call.dispatched_attempts() == [1, 2]


@beside_the_others
async def test_a_call_to_which_nobody_came_is_not_completed(studio: Studio) -> None:
    call = await studio.call().live(with_caller=False)
    call.crew.caller_turns = 0
    await call.end()

    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "end_requested")
    assert closed.status.talk_seconds == 0


@beside_the_others
async def test_an_agent_that_ends_a_call_alone_has_completed_nothing(studio: Studio) -> None:
    call = await studio.call().live(with_caller=False)
    call.crew.caller_turns = 0
    await call.crew.report(1, ReportEnd.SILENCE)

    assert (await call.closed()).ended == ("caller_never_joined", "silence")


@beside_the_others
async def test_a_caller_of_whom_no_webhook_told_is_found_at_the_end(studio: Studio) -> None:
    call = await studio.call().live(with_caller=False)
    call.crew.caller_turns = 0
    call.caller_comes()
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_the_timeline_says_that_livekit_did_not_answer_the_last_look(studio: Studio) -> None:
    call = await studio.call(report_grace=1).live(with_caller=False)
    studio.rooms.away.add(call.room)
    await call.end()
    await call.until("over", lambda status: status.state == "ending")
    studio.rooms.away.discard(call.room)

    closed = await call.closed()

    assert "whether a caller came is not known: LiveKit did not answer in 3 s" in closed.told


@beside_the_others
async def test_a_caller_who_spoke_was_there(studio: Studio) -> None:
    call = await studio.call().live(with_caller=False)
    call.crew.caller_turns = 0
    await call.says("Hello?")
    await call.end()

    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_external_agent_that_deletes_the_room_has_hung_up(studio: Studio) -> None:
    call = await studio.call(EXTERNAL, report_grace=1).live()
    await call.agent_leaves("room_deleted")

    closed = await call.closed()

    assert closed.ended == ("completed", "agent_ended")
    assert closed.status.reason == "the agent deleted the room to end the call"


@beside_the_others
async def test_a_transfer_that_is_reported_after_the_callers_leave_is_a_transfer(
    studio: Studio,
) -> None:
    call = await studio.call(MUTE, caller_return=0, report_grace=600).live()
    await call.caller_leaves(reason="CLIENT_INITIATED")
    await call.until("ending", lambda status: status.state == "ending")
    await call.crew.report(1, ReportEnd.TRANSFERRED)

    assert (await call.closed()).ended == ("completed", "transferred")


@beside_the_others
async def test_a_room_that_is_finished_before_its_agent_left_was_deleted_by_it(
    studio: Studio,
) -> None:
    call = await studio.call(EXTERNAL, report_grace=3).live()
    identity = (await call.status()).agent_identity or ""
    await call.livekit_closes_the_room()
    left = call.participant(ParticipantChange.LEFT, ParticipantKind.AGENT, identity, "PA_a")
    await call.tell(left.model_copy(update={"detail": "room_deleted"}))

    assert (await call.closed()).ended == ("completed", "agent_ended")


@beside_the_others
async def test_a_hang_up_ends_the_call_soon(studio: Studio) -> None:
    call = await studio.call(caller_return=600, caller_hangup_return=1).live()
    await call.caller_leaves(reason="client_initiated")

    closed = await call.closed()

    assert closed.ended == ("completed", "caller_left")
    status = closed.status
    assert status.caller_joined_at
    assert status.ended_at == status.caller_left_at
    assert status.talk_seconds == status.talk_time(status.ended_at or status.started_at)


@beside_the_others
async def test_a_caller_who_cannot_connect_is_told_of_and_never_came(studio: Studio) -> None:
    call = await studio.call(caller_wait=2).live(with_caller=False)
    failed = call.participant(
        ParticipantChange.NOT_CONNECTED, ParticipantKind.CALLER, "caller", "PA_1"
    )
    await call.tell(failed.model_copy(update={"detail": "join_failure"}))

    closed = await call.closed()

    assert closed.ended == ("caller_never_joined", "caller_never_joined")
    assert "caller caller tried and could not connect (join_failure)" in closed.told


@beside_the_others
async def test_a_lost_call_whose_new_agent_fails_is_lost(studio: Studio) -> None:
    call = await studio.call(MUTE, Plays(fails="no key for the model", fails_for_good=True)).live()
    await call.tell(agent_lost(1, await _job(call), "its process was killed"))

    closed = await call.closed()

    assert closed.ended == ("agent_lost", "agent_lost")
    assert in_order(closed.told, "attempt 2: the agent failed: no key for the model")
    status = closed.status
    assert status.ended_at is not None
    assert status.closed_at is not None
    assert status.talk_seconds == status.talk_time(status.ended_at)


@beside_the_others
async def test_the_loss_of_an_agent_shows_while_the_caller_is_away(studio: Studio) -> None:
    call = await studio.call(MUTE, caller_return=600, report_grace=1).live()
    await call.caller_leaves()
    await call.until("away", lambda status: status.waiting_for == "caller_return")
    await call.tell(agent_lost(1, await _job(call), "its process was killed"))

    status = await call.until("lost", lambda status: not status.agent_joined)

    assert status.state == "live"
    assert status.timeline[-1].text == "the agent of attempt 1 is lost: its process was killed"
    await call.caller_joins("PA_again")
    await call.until("replaced", lambda status: status.joins == 2)
    await call.end()
    await call.closed()
