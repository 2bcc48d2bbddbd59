"""`/session/observability` without a token: off by default, and then only for who waits for it."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import Redispatch
from domain.sessions.session import SessionState
from tests.api.door import Door, is_problem, open_door
from tests.fakes.agents import NEVER_COMES, Plays
from tests.harness.agent_callbacks import report as own_report
from tests.workflows.calls import Call

PATH = "/session/observability"
FOREIGN = Plays(foreign=True, report_when_told=False, report_when_removed=False)
MALFORMED = own_report(turns=[{}])
OURS = Plays(report_when_told=False, report_when_removed=False)


@pytest.fixture
async def open_to_all(door: Door) -> AsyncGenerator[Door]:
    """The API with the switch on; nothing is sent that proves who one is."""
    deps = replace(door.deps, unsigned_reports=True)
    async with open_door(door.studio, deps, key=None) as without_key:
        yield without_key


def report(room: str, *lines: str, **fields: Any) -> dict[str, Any]:
    """What the seed's Python agent sends: session report and conversation history."""
    items = [
        {"id": f"item_{number}", "type": "message", "role": "user", "content": [line]}
        for number, line in enumerate(lines)
    ]
    return {"room": room, "job_id": "AJ_f", "chat_history": {"items": items}, **fields}


async def _live(door: Door, agent: Plays = FOREIGN, report_grace: float = 3) -> Call:
    call = await door.studio.call(agent, report_grace=report_grace).start()
    await call.until("joined", lambda status: status.joins > 0)
    return call


async def test_without_the_switch_nobody_reports_without_a_token(door: Door) -> None:
    call = await _live(door)
    async with open_door(door.studio, door.deps, key=None) as stranger:
        answer = await stranger.http.post(PATH, json=report(call.room, "hello"))
        forged = {"Authorization": "Bearer evcb_x.y"}
        wrong = await stranger.http.post(PATH, json=report(call.room, "hello"), headers=forged)
    for refused in (answer, wrong):
        assert is_problem(refused, 401, "unauthenticated")
        [fault] = refused.json()["errors"]
        for cure in ("everline.callback_token", "EVERLINE_ACCEPT_UNSIGNED_REPORTS=true"):
            assert cure in fault["cure"]
    assert (await call.status()).state is SessionState.LIVE
    await call.end()
    await call.closed()


async def test_a_report_ends_its_session_and_its_room_is_deleted(open_to_all: Door) -> None:
    call = await _live(open_to_all)

    answer = await open_to_all.http.post(
        PATH, json=report(call.room, "A table for two.", "Thank you.", usage=[{"type": "x"}])
    )

    assert answer.json() == {"sessionId": call.key.session_id, "stored": True}
    closed = await call.closed()
    assert closed.ended == ("completed", "agent_ended")
    assert call.room not in open_to_all.studio.rooms.rooms
    archive = open_to_all.studio.archive.transcripts
    assert [turn.text for turn in await archive.turns(call.key)] == [
        "A table for two.",
        "Thank you.",
    ]
    header = await archive.header(call.key)
    assert header is not None
    assert header.complete


async def test_a_report_comes_in_time_while_the_session_winds_down(open_to_all: Door) -> None:
    call = await _live(open_to_all, report_grace=60)
    await call.end()
    await call.until("ending", lambda status: status.state is SessionState.ENDING)

    answer = await open_to_all.http.post(PATH, json=report(call.room, "hello"))

    assert answer.status_code == 200
    assert (await call.closed()).ended == ("completed", "end_requested")


async def test_only_a_session_that_waits_for_it_takes_it(open_to_all: Door) -> None:
    ours = await _live(open_to_all, OURS)
    not_foreign = await open_to_all.http.post(PATH, json=report(ours.room, "forged"))
    await ours.end()
    await ours.closed()
    over = await open_to_all.http.post(PATH, json=report(ours.room, "forged"))
    nowhere = await open_to_all.http.post(PATH, json=report("acme.nowhere", "forged"))
    nobodys = await open_to_all.http.post(PATH, json=report("no room of ours", "forged"))
    nameless = await open_to_all.http.post(PATH, json={"chat_history": {"items": []}})

    assert is_problem(not_foreign, 409, "conflict")
    assert over.status_code in (404, 409)
    assert is_problem(nowhere, 404, "not_found")
    assert is_problem(nobodys, 404, "not_found")
    assert is_problem(nameless, 422, "invalid_input")
    assert nameless.json()["errors"][0]["field"] == "room"
    assert await open_to_all.studio.archive.transcripts.turns(ours.key) == []


async def test_a_report_is_taken_once(open_to_all: Door) -> None:
    call = await _live(open_to_all)
    first = await open_to_all.http.post(PATH, json=report(call.room, "hello"))
    again = await open_to_all.http.post(PATH, json=report(call.room, "forged"))

    assert first.status_code == 200
    assert again.status_code in (404, 409)
    await call.closed()
    turns = await open_to_all.studio.archive.transcripts.turns(call.key)
    assert [turn.text for turn in turns] == ["hello"]


async def test_the_report_of_an_agent_that_took_over_is_taken(open_to_all: Door) -> None:
    call = await _live(open_to_all)
    await call.crew.report(1, ReportEnd.ERROR)
    await call.until("replaced", lambda status: status.joins == 2)

    answer = await open_to_all.http.post(PATH, json=report(call.room, "hello"))

    assert answer.status_code == 200
    assert (await call.closed()).ended == ("completed", "agent_ended")


async def test_a_report_is_that_of_the_agent_that_was_in_the_call(open_to_all: Door) -> None:
    call = await open_to_all.studio.call(FOREIGN, NEVER_COMES).start()
    await call.until("joined", lambda status: status.joins > 0)
    await call.update(Redispatch(by="ops"))
    await call.until("dispatched again", lambda status: status.dispatches == 2)
    await call.end()
    await call.until("ending", lambda status: status.state is SessionState.ENDING)

    answer = await open_to_all.http.post(PATH, json=report(call.room, "hello"))

    assert answer.status_code == 200
    assert (await call.closed()).ended == ("completed", "end_requested")
    turns = await open_to_all.studio.archive.transcripts.turns(call.key)
    assert [turn.attempt for turn in turns] == [1]


async def test_a_token_is_checked_also_with_the_switch_on(open_to_all: Door) -> None:
    call = await _live(open_to_all)
    wrong = {"Authorization": "Bearer evcb_nonsense"}
    forged = await open_to_all.http.post(PATH, json=report(call.room, "x"), headers=wrong)
    genuine = open_to_all.as_agent(call.key)
    # With the token of its session, an older agent's shape needs no attempt and no room.
    taken = await open_to_all.http.post(PATH, json={"history": []}, headers=genuine)

    assert is_problem(forged, 401, "unauthenticated")
    assert taken.status_code == 200
    assert (await call.closed()).ended == ("caller_never_joined", "agent_ended")


async def test_an_attempt_of_its_own_makes_a_report_no_other(door: Door) -> None:
    call = await _live(door)
    body = report(call.room, "A table for two.", attempt=7, version="1.2", report_version=3)

    answer = await door.http.post(PATH, json=body, headers=door.as_agent(call.key))

    assert answer.status_code == 200, answer.text
    assert (await call.closed()).ended == ("completed", "agent_ended")
    turns = await door.studio.archive.transcripts.turns(call.key)
    assert [(turn.attempt, turn.text) for turn in turns] == [(1, "A table for two.")]


async def test_a_malformed_report_of_our_own_names_its_field(open_to_all: Door) -> None:
    call = open_to_all.studio.call()
    answer = await open_to_all.http.post(
        PATH, json=MALFORMED | {"attempt": 0}, headers=open_to_all.as_agent(call.key)
    )
    assert is_problem(answer, 422, "invalid_input")
    assert "attempt" in {fault["field"] for fault in answer.json()["errors"]}


async def test_an_unreadable_value_costs_itself_alone(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    line = {"attempt": 1, "role": "user", "created_at": "2026-03-01T12:00:00Z"}
    body = {
        "report_version": 2,
        "attempt": 1,
        "foreign": False,
        "end_reason": "agent_ended",
        "turns": [
            line | {"item_id": "a", "seq": 2**70, "text": "A table"},
            line | {"item_id": "b", "created_at": "99999-01-01T00:00:00Z", "text": "for \ud800"},
            line | {"item_id": "c", "interrupted": "yes", "text": "four"},
        ],
    }

    answer = await door.http.post(PATH, content=json.dumps(body), headers=_json(door, call))

    assert answer.status_code == 200, answer.text
    assert (await call.closed()).ended == ("completed", "agent_ended")
    transcripts = door.studio.archive.transcripts
    assert {turn.text for turn in await transcripts.turns(call.key)} == {
        "A table",
        "for ?",
        "four",
    }
    [stored] = await transcripts.reports(call.key)
    assert set(stored.unreadable) == {
        "turns.0.seq",
        "turns.1.created_at",
        "turns.1.text",
        "turns.2.interrupted",
    }


def _json(door: Door, call: Call) -> dict[str, str]:
    return {**door.as_agent(call.key), "content-type": "application/json"}
