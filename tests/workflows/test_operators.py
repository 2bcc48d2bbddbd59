"""What an operator sees in Temporal: search attributes, summaries, details that tell the story."""

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import SearchAttributeKey

from domain.sessions.end_reasons import ReportEnd
from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.scenes import beside_the_others
from workflows.session_parts.status_tracker import TIMELINE_LIMIT

KEYWORDS = (
    "SessionState",
    "SessionOrg",
    "SessionAgent",
    "SessionRoom",
    "SessionOutcome",
    "SessionEndReason",
    "SessionWaitingFor",
)
ATTEMPTS = SearchAttributeKey.for_int("SessionJoinAttempts")


async def _attributes(call: Call) -> dict[str, str | int | None]:
    found = (await call.description()).typed_search_attributes
    shown: dict[str, str | int | None] = {
        name: found.get(SearchAttributeKey.for_keyword(name)) for name in KEYWORDS
    }
    return shown | {"SessionJoinAttempts": found.get(ATTEMPTS)}


@beside_the_others
async def test_search_attributes_follow_the_story(studio: Studio) -> None:
    call = await studio.call().live()
    await call.until("talking", lambda status: status.waiting_for == "call_end")
    live = await _attributes(call)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()

    assert live == {
        "SessionState": "live",
        "SessionOrg": "acme",
        "SessionAgent": "ag-1",
        "SessionRoom": call.room,
        "SessionOutcome": None,
        "SessionEndReason": None,
        "SessionWaitingFor": "call_end",
        "SessionJoinAttempts": 1,
    }
    assert await _attributes(call) == live | {
        "SessionState": "closed",
        "SessionOutcome": "completed",
        "SessionEndReason": "agent_ended",
        "SessionWaitingFor": "nothing",
    }


@beside_the_others
async def test_stuck_sessions_are_found_by_one_query(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES).start()
    query = f"SessionWaitingFor = 'agent_join' AND SessionRoom = '{call.room}'"

    async def found() -> bool:
        return (await studio.client.count_workflows(query)).count == 1

    await eventually(found)
    await call.end()
    await call.closed()


@beside_the_others
async def test_the_page_of_a_session_tells_what_was_tried(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, Plays(claims=None), join_timeout=1).start()
    await call.until("is not ready", lambda status: status.waiting_for == "agent_ready")
    described = await call.description()
    # The details are encrypted on the wire; the client's own metadata query decodes them.
    details = await described.static_summary()
    current = await call.handle.query("__temporal_workflow_metadata")
    await call.end()
    await call.closed()

    assert details == f"call of caller in {call.room}"
    text = str(current)
    assert "waiting for **agent_ready**" in text
    assert "attempt 1 failed: no agent within 1 s" in text
    assert "attempt 2: dispatched to test-agent" in text


@beside_the_others
async def test_the_page_of_a_session_stays_within_what_temporal_shows(studio: Studio) -> None:
    call = await studio.call().live()
    # Characters of four bytes each.
    for number in range(TIMELINE_LIMIT):
        await call.stranger_joins(f"{number}-" + "\N{TELEPHONE RECEIVER}" * 250)
    await call.until("all are there", lambda s: any("99-" in e.text for e in s.timeline))
    current = await call.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    await call.end()
    await call.closed()

    details = current.current_details
    assert 19_000 < len(details.encode()) <= 20_000
    assert "somebody else: 99-" in details


@beside_the_others
async def test_no_words_of_the_call_reach_temporal(studio: Studio) -> None:
    call = await studio.call().live()
    await call.says("a-very-private-sentence")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)

    closed = await call.closed()

    raw = b"".join(event.SerializeToString() for event in closed.history.events)
    assert b"a-very-private-sentence" not in raw
    assert b"livekit.test" not in raw, "everything but ids and states is encrypted"
    assert b"digest-of-" not in raw
