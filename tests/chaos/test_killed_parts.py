"""`kill -9` of each part behind a call: the call finishes, no acknowledged turn is lost."""

import asyncio

import httpx
import pytest

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.call import Call
from tests.harness.rig import Rig
from tests.waiting import eventually

PARTS = ("api", "worker", "temporal", "mongodb")


@pytest.mark.parametrize("part", PARTS)
async def test_a_call_outlives_the_death_of(rig: Rig, part: str) -> None:
    async with rig.call(limits={"report_grace": 60, "archive_wait": 60}) as call:
        await call.type("A table for two, please.", expect="table for two")
        await rig.client.until_turns(call.session_id, 2)
        killed = rig.stack.kill(part)
        # Said while the part is away, or on its way back: media and agent do not depend on it.
        answer, _ = await asyncio.gather(
            call.type("My name is Carl.", expect="Carl", also="table for two"),
            rig.stack.wait_restarted(part, killed),
        )
        assert "table for two" in answer
        await rig.client.until_turns(call.session_id, 4)
        await _end(rig, call)
        closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)
    assert (closed.attempt, closed.joins) == (1, 1), "the same agent all the time"
    transcript = await rig.client.transcript(call.session_id)
    assert [turn.role for turn in transcript.turns] == ["user", "assistant"] * 2

    async def complete() -> bool:
        header = (await rig.client.transcript(call.session_id)).header
        return header is not None and header.complete

    await eventually(complete, what="the transcript is sealed and complete")


@pytest.mark.chaos
@pytest.mark.parametrize("part", PARTS)
async def test_a_call_ends_although_a_part_dies_at_its_end(rig: Rig, part: str) -> None:
    async with rig.call(limits={"report_grace": 30, "archive_wait": 15}) as call:
        await call.type("A table for two, please.", expect="table for two")
        await _end(rig, call)
        killed = rig.stack.kill(part)
        await rig.stack.wait_restarted(part, killed)
        closed = await rig.client.closed(call.session_id, 90)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.END_REQUESTED)


@pytest.mark.chaos
@pytest.mark.parametrize("part", ["worker", "temporal"])
async def test_a_session_starts_although_a_part_dies_under_it(rig: Rig, part: str) -> None:
    started = await rig.client.start(wait="accepted")
    rig.know(started.key)
    killed = rig.stack.kill(part)
    await rig.stack.wait_restarted(part, killed)
    await rig.client.until(started.key.session_id, 60, state=SessionState.LIVE)
    await rig.client.end(started.key.session_id)
    closed = await rig.client.closed(started.key.session_id, 60)
    assert closed.outcome is Outcome.COMPLETED


@pytest.mark.chaos
async def test_a_killed_livekit_loses_its_rooms_and_no_session(rig: Rig) -> None:
    async with rig.call(limits={"report_grace": 5}) as call:
        await call.type("A table for two, please.", expect="table for two")
        before = await rig.client.until_turns(call.session_id, 2)
        await rig.stack.wait_restarted("livekit", rig.stack.kill("livekit"))
        await rig.histories.reap()
        closed = await rig.client.closed(call.session_id, 90)
    assert (closed.outcome, closed.end_reason) == (Outcome.ROOM_LOST, EndReason.ROOM_DELETED)
    transcript = await rig.client.transcript(call.session_id)
    assert transcript.turns[: len(before.turns)] == before.turns


async def _end(rig: Rig, call: Call) -> None:
    """Ask for the end; a part that is just coming back may refuse the first request."""

    async def asked() -> bool:
        path = f"/v1/sessions/{call.session_id}/end"
        try:
            return (await rig.client.http.post(path)).is_success
        except httpx.TransportError:
            return False

    await eventually(asked, what="the end is requested")
