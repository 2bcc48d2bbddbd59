"""The worker's log counts dispatches and joins, and is loud about dispatches without an agent."""

import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.dispatch import JoinCounters
from activities.joining import REPEATED, AwaitAgent, JoinActivities
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from tests.fakes.rooms import FakeRooms

ROOM = "acme.room"
NEVER_JOINED = "agent dispatch succeeded but agent did not join"


async def test_several_dispatches_in_a_row_without_an_agent_are_errors() -> None:
    rooms, counters = FakeRooms(), JoinCounters()
    await rooms.create(ROOM, "", 60, 60)
    join = JoinActivities(rooms, counters)
    order = AwaitAgent(livekit_room=ROOM, attempt=1, timeout=0)

    async def nobody_joins() -> None:
        with pytest.raises(ApplicationError, match="no agent within"):
            await ActivityEnvironment().run(join.await_agent, order)

    with capture_logs() as logs:
        for _ in range(REPEATED):
            await nobody_joins()
        rooms.join(ROOM, "agent-1", "agent", {ATTEMPT_ATTRIBUTE: "1"})
        await ActivityEnvironment().run(join.await_agent, order)
        rooms.leave(ROOM, "agent-1")
        await nobody_joins()

    levels = [entry["log_level"] for entry in logs if entry["event"] == NEVER_JOINED]
    assert levels == [*["warning"] * (REPEATED - 1), "error", "warning"]
    [joined] = [entry for entry in logs if entry["event"] == "agent joined"]
    assert joined["counters"]["joined"] == 1
    assert (counters.not_joined, counters.not_joined_in_a_row) == (REPEATED + 1, 1)
