"""How long it takes until an agent is proven to be in the room."""

import asyncio
import time
import uuid
from collections.abc import Callable

from livekit import api
from livekit.protocol import agent_dispatch, models, room

from bench.errors import BenchError
from bench.series import Comparison, Series
from bench.stand import AGENT_NAME, Stand, settle
from bench.starts import timed

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 20.0


async def measure_joins(stand: Stand, rounds: int, step: Callable[[], None]) -> Comparison:
    """Compare the time until a session's agent is ready with a script that uses LiveKit."""
    direct = Series("livekit-api script: room, dispatch, poll until ACTIVE", "ms")
    joined = Series("POST /session?wait=joined (ACTIVE and ready)", "ms")
    for _ in range(rounds):
        name = f"bench-{uuid.uuid4().hex}"
        await settle()
        try:
            await timed(direct, _agent_by_hand(stand.livekit, name))
        finally:
            await stand.livekit.room.delete_room(room.DeleteRoomRequest(room=name))
        await settle()
        session = await timed(joined, stand.start("joined"))
        await stand.end(session)
        step()
    return Comparison(
        "agent proven to be in the room, measured by the client",
        direct,
        [joined],
        ["the script trusts the participant list; Everline also waits for the agent's claim"],
    )


async def _agent_by_hand(livekit: api.LiveKitAPI, name: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    await livekit.room.create_room(room.CreateRoomRequest(name=name))
    await livekit.agent_dispatch.create_dispatch(
        agent_dispatch.CreateAgentDispatchRequest(room=name, agent_name=AGENT_NAME)
    )
    while time.monotonic() < deadline:
        found = await livekit.room.list_participants(room.ListParticipantsRequest(room=name))
        if any(_is_agent(participant) for participant in found.participants):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise BenchError(f"no agent {AGENT_NAME!r} joined the room within {PATIENCE_SECONDS:g} s")


def _is_agent(participant: models.ParticipantInfo) -> bool:
    return (
        participant.kind == models.ParticipantInfo.AGENT
        and participant.state == models.ParticipantInfo.ACTIVE
    )
