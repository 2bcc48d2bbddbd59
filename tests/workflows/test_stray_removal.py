"""The setting that removes agents which no dispatch of a session has sent."""

import json

import pytest
from temporalio.testing import ActivityEnvironment

from activities.joining import JoinActivities, LookForAgent
from tests.fakes.rooms import FakeRooms

ROOM = "acme.room"
METADATA = json.dumps({"session_id": "s-1", "everline": {"attempt": 2}})


@pytest.mark.parametrize("remove", [False, True])
async def test_only_strays_are_removed(remove: bool) -> None:
    rooms = FakeRooms()
    await rooms.create(ROOM, "", 60, 60)
    dispatch = await rooms.dispatch(ROOM, "their-agent", METADATA)
    rooms.join(ROOM, "agent-stray", "agent")
    rooms.join(ROOM, "agent-theirs", "agent", dispatch=dispatch)
    rooms.join(ROOM, "ann", "standard")
    activities = JoinActivities(rooms, remove_strays=remove)

    seen = await ActivityEnvironment().run(
        activities.look_for_agent, LookForAgent(livekit_room=ROOM, attempt=2)
    )

    assert seen is not None
    assert (seen.identity, seen.foreign) == ("agent-theirs", True)
    assert (seen.strays, seen.strays_removed) == (["agent-stray"], remove)
    left = set(rooms.rooms[ROOM].participants)
    assert left == {"agent-theirs", "ann"} | (set() if remove else {"agent-stray"})


async def test_the_agent_of_another_attempts_dispatch_is_not_the_one() -> None:
    rooms = FakeRooms()
    await rooms.create(ROOM, "", 60, 60)
    dispatch = await rooms.dispatch(ROOM, "their-agent", METADATA)
    rooms.join(ROOM, "agent-theirs", "agent", dispatch=dispatch)

    seen = await ActivityEnvironment().run(
        JoinActivities(rooms).look_for_agent, LookForAgent(livekit_room=ROOM, attempt=3)
    )

    assert seen is None


@pytest.mark.parametrize("attribute", ["lk.agent.name", "lk.agent_name"])
async def test_an_agent_whose_job_is_not_listed_yet_is_known_by_its_name(attribute: str) -> None:
    rooms = FakeRooms()
    await rooms.create(ROOM, "", 60, 60)
    await rooms.dispatch(ROOM, "their-agent", METADATA)
    rooms.join(ROOM, "agent-other", "agent", {attribute: "other-agent"})
    rooms.join(ROOM, "agent-theirs", "agent", {attribute: "their-agent"})

    seen = await ActivityEnvironment().run(
        JoinActivities(rooms).look_for_agent, LookForAgent(livekit_room=ROOM, attempt=2)
    )

    assert seen is not None
    assert (seen.identity, seen.strays) == ("agent-theirs", ["agent-other"])
