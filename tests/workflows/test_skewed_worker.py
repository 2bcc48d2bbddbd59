"""A worker's clock is not Temporal's: what it waits for is measured, not compared."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.joining import AwaitAgent, JoinActivities
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from domain.sessions.ports import Participant
from tests.fakes.rooms import FakeRooms

ROOM = "acme.room"


@pytest.mark.parametrize("ahead", [600.0, -600.0])
async def test_an_agent_has_its_whole_time_to_join(ahead: float) -> None:
    """Temporal's times are ten minutes off, as this worker's clock sees them."""
    rooms = FakeRooms()
    await rooms.create(ROOM, "{}", 60, 60)
    agent = Participant(
        identity="agent-AJ_1",
        sid="PA_1",
        kind="agent",
        active=True,
        attributes={ATTEMPT_ATTRIBUTE: "1"},
    )
    looks = 0

    def come(*_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            rooms.rooms[ROOM].participants[agent.identity] = agent

    environment = ActivityEnvironment()
    at = datetime.now(UTC) - timedelta(seconds=ahead)
    environment.info = replace(environment.info, scheduled_time=at, started_time=at)
    environment.on_heartbeat = come
    order = AwaitAgent(livekit_room=ROOM, attempt=1, timeout=30)

    seen = await environment.run(JoinActivities(rooms).await_agent, order)

    assert seen.identity == agent.identity


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
async def test_time_before_a_second_try_counts(ahead: float) -> None:
    rooms = FakeRooms()
    environment = ActivityEnvironment()
    scheduled = datetime.now(UTC) - timedelta(seconds=ahead)
    environment.info = replace(
        environment.info,
        scheduled_time=scheduled,
        started_time=scheduled + timedelta(seconds=31),
    )
    order = AwaitAgent(livekit_room=ROOM, attempt=1, timeout=30)

    with pytest.raises(ApplicationError, match="no agent within 30 s"):
        await environment.run(JoinActivities(rooms).await_agent, order)
