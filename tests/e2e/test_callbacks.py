"""What agents hand in: late, twice, stale, and with tokens that are not theirs."""

import asyncio

from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState
from tests.harness.agent_callbacks import report, token, turn
from tests.harness.rig import Rig
from tests.waiting import eventually


async def test_a_report_before_any_end_is_the_end(rig: Rig) -> None:
    async with rig.call() as call:
        spoken = turn("item-1", "This was only in the report.")
        body = report(end_reason="agent_ended", turns=[spoken])
        answer = await rig.agent(call.key).report(body)
        assert answer.json() == {"sessionId": call.session_id, "stored": True}
        closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.end_reason) == (Outcome.COMPLETED, EndReason.AGENT_ENDED)
    await rig.histories.session(call.key).result()
    assert await rig.client.end(call.session_id) is False
    transcript = await rig.client.transcript(call.session_id)
    assert [one.item_id for one in transcript.turns] == ["item-1"]


async def test_reports_again_and_late_are_kept_and_change_no_outcome(rig: Rig) -> None:
    started = await rig.client.start(limits={"caller_wait": 1})
    rig.know(started.key)
    closed = await rig.client.closed(started.key.session_id)
    # What comes before its workflow has ended is noted in its timeline.
    await rig.histories.session(started.key).result()
    await eventually(lambda: bool(rig.proxy.reports(started.key.session_id)), what="a report")
    first = rig.proxy.reports(started.key.session_id)[0]
    agent = rig.agent(started.key)
    assert (await agent.report(first)).status_code == 200
    assert len(await rig.reports(started.key)) == 1, "the same report is kept once"
    spoken = turn("late", "I was in the spool.", seq=99)
    late = await agent.report(report(end_reason="silence", turns=[spoken]))
    assert late.is_success
    later = turn("later", "Me too.", seq=100, agent_id="ag-bills")
    assert (await agent.turns(started.key.session_id, [later])).is_success
    transcript = await rig.client.transcript(started.key.session_id)
    assert [(one.item_id, one.agent_id) for one in transcript.turns] == [
        ("late", None),
        ("later", "ag-bills"),
    ]
    assert transcript.header is not None
    assert transcript.header.turn_count == 2
    assert len(await rig.reports(started.key)) == 2
    assert await rig.client.status(started.key.session_id) == closed


async def test_a_stale_attempt_is_heard_and_steers_nothing(rig: Rig) -> None:
    async with rig.call() as call:
        await call.type("A table for five, please.", expect="table for five")
        await rig.client.until_turns(call.session_id, 2)
        first = await rig.job(call.key)
        await rig.histories.redispatch(call.key)
        await rig.client.until(call.session_id, 60, attempt=2, state=SessionState.LIVE)
        await eventually(lambda: len(call.agents) == 1, 60, "the first agent is gone")
        stale = rig.agent(call.key, attempt=1)
        claim = await stale.ready(1, "a-stale-job")
        assert claim.status_code == 409
        assert claim.json()["code"] == "stale_attempt"
        spoken = turn("stale-turn", "Said to the first agent.", seq=50)
        assert (await stale.report(report(end_reason="agent_ended", turns=[spoken]))).is_success
        assert (await stale.failed(1, "I give up")).is_success
        answer = await call.type("My name is Eve.", expect="Eve", also="table for five")
        assert "table for five" in answer, "the new agent knows what was said before"
        status = await rig.client.status(call.session_id)
        assert (status.state, status.attempt) == (SessionState.LIVE, 2)
        await eventually(lambda: not first.is_running(), 60, "the first job has ended")
    closed = await rig.client.closed(call.session_id)
    assert (closed.outcome, closed.joins) == (Outcome.COMPLETED, 2)
    transcript = await rig.client.transcript(call.session_id)
    assert "stale-turn" in {one.item_id for one in transcript.turns}
    attempts = [one.attempt for one in transcript.turns]
    assert attempts == sorted(attempts)
    assert set(attempts) == {1, 2}


async def test_only_the_attempts_own_token_is_taken(rig: Rig) -> None:
    mine, other = await asyncio.gather(rig.client.start(wait="joined"), rig.client.start())
    for started in (mine, other):
        rig.know(started.key)
    session_id, secret = mine.key.session_id, rig.stack.credentials.callback_secret
    before = await rig.client.status(session_id)
    body, turns = report(end_reason="agent_ended"), [turn("forged", "Not said by anybody.")]
    genuine = token(secret, mine.key)
    for given, status in (
        ("nonsense", 401),
        ("evcb_nonsense", 401),
        (token("another-secret-of-at-least-32-characters", mine.key), 401),
        (genuine[:-2] + ("AA" if genuine[-2:] != "AA" else "BB"), 401),
        (token(secret, mine.key, lifetime=-1), 403),
    ):
        agent = rig.with_token(given)
        assert (await agent.report(body)).status_code == status
        assert (await agent.turns(session_id, turns)).status_code == status
        assert (await agent.ready(1, "forged")).status_code == status
        assert (await agent.failed(1, "forged")).status_code == status
    foreign = rig.agent(other.key)
    assert (await foreign.turns(session_id, turns)).status_code == 403
    next_attempt = rig.agent(mine.key, attempt=2)
    assert (await next_attempt.report(body)).status_code == 403
    assert (await next_attempt.ready(1, "forged")).status_code == 403
    assert await rig.client.status(session_id) == before, "nothing changed"
    assert (await rig.client.transcript(session_id)).turns == []
    assert await rig.reports(mine.key) == []
    for started in (mine, other):
        await rig.client.end(started.key.session_id)
        await rig.client.closed(started.key.session_id)
