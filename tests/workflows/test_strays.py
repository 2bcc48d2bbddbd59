"""Agents that LiveKit sends into a room without a dispatch of ours prove nothing."""

from domain.sessions.messages import ParticipantChange, ParticipantChanged, ParticipantKind
from tests.fakes.agents import NEVER_COMES, Plays
from tests.waiting import eventually
from tests.workflows.calls import Call, Studio
from tests.workflows.evidence import activities_scheduled, in_order
from tests.workflows.scenes import beside_the_others

STRAY = "agent-AJ_stray"


async def _stray_joins(call: Call) -> None:
    """An agent without a name or an attempt joins, and LiveKit's webhook tells."""
    call.studio.rooms.join(call.room, STRAY, "agent")
    joined = call.participant(ParticipantChange.JOINED, ParticipantKind.AGENT, STRAY, "PA_stray")
    await call.tell(joined)


@beside_the_others
async def test_a_stray_agent_is_no_join(studio: Studio) -> None:
    call = await studio.call(NEVER_COMES, join_timeout=2, join_attempts=1).start()
    await call.until("dispatched", lambda status: status.dispatches == 1)
    await _stray_joins(call)

    closed = await call.closed()

    assert closed.ended == ("agent_never_joined", "agent_never_joined")
    assert in_order(closed.told, f"seen at http://livekit.test: {STRAY} (agent)")


@beside_the_others
async def test_a_stray_that_was_there_first_is_named_and_our_agent_counts(studio: Studio) -> None:
    call = await studio.call(Plays(appears=1)).start()
    await call.until("dispatched", lambda status: status.dispatches == 1)
    await _stray_joins(call)
    status = await call.until("joined", lambda status: status.joins == 1)
    await call.caller_joins()
    await call.end()

    closed = await call.closed()

    assert (status.foreign_agent, status.agent_identity != STRAY) == (False, True)
    assert closed.ended == ("completed", "end_requested")
    assert sum(STRAY in line for line in closed.told) == 1, closed.told


@beside_the_others
async def test_a_stray_that_comes_later_is_named(studio: Studio) -> None:
    call = await studio.call().live()
    await _stray_joins(call)

    status = await call.until("named", lambda s: any(STRAY in e.text for e in s.timeline))

    assert (status.state, status.joins) == ("live", 1)
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")


@beside_the_others
async def test_an_external_agent_of_our_dispatch_is_no_stray(studio: Studio) -> None:
    external = Plays(foreign=True, report_when_told=False, report_when_removed=False)
    call = await studio.call(external, report_grace=1).live()
    identity = (await call.status()).agent_identity or ""
    joined = call.participant(ParticipantChange.JOINED, ParticipantKind.AGENT, identity, "PA_x")
    await call.tell(joined)
    await call.end()

    closed = await call.closed()

    assert closed.status.foreign_agent
    assert not any("no dispatch of this session" in line for line in closed.told)


@beside_the_others
async def test_agents_without_an_identity_are_checked_once(studio: Studio) -> None:
    call = await studio.call().live()
    checks = studio.rooms.count("participants", call.room)
    for _ in range(3):
        await call.tell(
            ParticipantChanged(
                event_id=call.event_id(),
                change=ParticipantChange.JOINED,
                kind=ParticipantKind.AGENT,
            )
        )
    await eventually(lambda: studio.rooms.count("participants", call.room) > checks)
    await call.end()

    closed = await call.closed()

    assert activities_scheduled(closed.history)["look_for_agent"] == 1
