"""Agents that send no turns are heard in their room, and nobody notices the listener."""

from datetime import UTC, datetime

from domain.sessions.session import SessionStatus
from domain.transcripts.listening import Heard
from domain.transcripts.transcript import Role
from tests.fakes.agents import Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others, takes_long

FOREIGN = Plays(foreign=True, report_when_told=False, report_when_removed=False)


def heard(segment: str, role: Role, text: str) -> Heard:
    now = datetime.now(UTC)
    return Heard(segment=segment, role=role, text=text, began_at=now, ended_at=now)


async def _texts(call: Call) -> list[str]:
    turns = await call.studio.archive.transcripts.turns(call.key)
    return [turn.text for turn in turns]


@beside_the_others
async def test_what_is_said_is_stored_while_the_call_goes_on(studio: Studio) -> None:
    call = await studio.call(FOREIGN, report_grace=3).live()
    await eventually(lambda: call.room in studio.listener.present, what="somebody listens")

    studio.listener.said[call.room].append(heard("SG_1", Role.USER, "A table for two."))

    async def stored() -> bool:
        return await _texts(call) == ["A table for two."]

    await eventually(stored, what="the first turn is stored")
    studio.listener.said[call.room].append(heard("SG_2", Role.ASSISTANT, "For which day?"))
    await call.caller_leaves()
    closed = await call.closed()

    assert await _texts(call) == ["A table for two.", "For which day?"]
    assert "2 turns were heard in the room" in closed.told
    assert studio.listener.joined[call.room] == ["everline-listener-1"]
    assert call.room not in studio.listener.present


@beside_the_others
async def test_whoever_comes_is_the_caller_of_a_foreign_agent(studio: Studio) -> None:
    call = await studio.call(FOREIGN, report_grace=3).live(with_caller=False)
    await call.stranger_joins()
    await call.until("the caller is there", lambda s: s.waiting_for == "call_end")
    await call.end()
    await call.closed()


@beside_the_others
@takes_long
async def test_a_foreign_agent_is_replaced_for_whoever_is_there(studio: Studio) -> None:
    call = await studio.call(FOREIGN, report_grace=3, caller_wait=10).live(with_caller=False)
    await call.stranger_joins()
    begun = await call.until("the caller is there", lambda s: s.waiting_for == "call_end")
    await call.until("longer than a caller is waited for", lambda _: _age(begun) > 10)
    await call.agent_leaves()

    await call.until("replaced", lambda status: status.joins == 2)

    await call.end()
    await call.closed()


def _age(status: SessionStatus) -> float:
    assert status.joined_at
    return (datetime.now(UTC) - status.joined_at).total_seconds()


@beside_the_others
async def test_a_listener_that_loses_its_room_comes_back(studio: Studio) -> None:
    call = studio.call(FOREIGN, report_grace=3)
    studio.listener.lost[call.room] = 2
    await call.live()
    studio.listener.said[call.room].append(heard("SG_1", Role.USER, "Hello?"))
    again = studio.listener.joined[call.room]
    await eventually(lambda: len(again) == 3, what="it has come back twice")
    await call.end()
    await call.closed()

    assert await _texts(call) == ["Hello?"]


@beside_the_others
async def test_an_outage_of_mongodb_delays_what_was_heard(studio: Studio) -> None:
    call = await studio.call(FOREIGN, report_grace=3).live()
    studio.archive.switch.away.add(call.key)
    studio.listener.said[call.room].append(heard("SG_1", Role.USER, "Hello?"))
    await eventually(lambda: not studio.listener.said[call.room], what="it was heard")
    studio.archive.switch.away.discard(call.key)
    await call.end()
    await call.closed()

    assert await _texts(call) == ["Hello?"]


@beside_the_others
async def test_a_full_transcript_takes_what_fits_and_the_call_goes_on(studio: Studio) -> None:
    call = await studio.call(FOREIGN, report_grace=3).live()
    studio.archive.transcripts.limits[call.key] = 1
    for number in range(3):
        studio.listener.said[call.room].append(heard(f"SG_{number}", Role.USER, f"{number}"))
    await eventually(lambda: not studio.listener.said[call.room], what="it was heard")
    await call.caller_leaves()
    closed = await call.closed()

    assert await _texts(call) == ["0"]
    assert closed.ended == ("report_missing", "caller_left")


@beside_the_others
async def test_nobody_listens_to_our_own_agent(studio: Studio) -> None:
    call = await studio.call(Plays()).live()
    await call.end()
    await call.closed()

    assert studio.listener.joined[call.room] == []


@beside_the_others
async def test_nobody_listens_where_nothing_can_be_stored(studio: Studio) -> None:
    call = await studio.call(FOREIGN, archive=False, report_grace=3).live()
    await call.end()
    await call.closed()

    assert studio.listener.joined[call.room] == []
