"""The seed service's Python agent: comes when it is dispatched, and reports without a token."""

import json
from contextlib import contextmanager
from typing import Any

import httpx

from tests.api.door import at_last
from tests.api.house import House, Tenant, unique
from tests.waiting import eventually

Json = dict[str, Any]


class SeedAgents:
    """Every dispatch in the house is taken by such an agent."""

    def __init__(self, house: House) -> None:
        self._rooms = house.rooms
        self.metadata: dict[str, Json] = {}
        """What the agent of each room was given."""

    def on_dispatch(self, room: str, dispatch_id: str, metadata: str) -> None:
        """LiveKit offers the job; the agent takes it and joins."""
        self.metadata[room] = json.loads(metadata)
        self._rooms.join(room, f"agent-{dispatch_id}", "agent", dispatch=dispatch_id)


@contextmanager
def seed_agents(house: House):
    """Such agents for a block."""
    before, agents = house.rooms.on_dispatch, SeedAgents(house)
    house.rooms.on_dispatch = agents.on_dispatch
    try:
        yield agents
    finally:
        house.rooms.on_dispatch = before


def report(room: str, *lines: str) -> Json:
    """Session report and conversation history, as the seed's agent sends them."""
    items = [
        {"id": f"item_{number}", "type": "message", "role": "user", "content": [line]}
        for number, line in enumerate(lines)
    ]
    return {"room": room, "chat_history": {"items": items}}


async def live_session(tenant: Tenant, **body: Any) -> Json:
    """Start a session by the seed's route, and wait until its agent is in the room."""
    given = {"userIdentity": "ann", "sessionId": unique("call"), **body}
    answer = await at_last(lambda: tenant.http.post("/session", json=given), late=202)
    assert answer.status_code == 200, answer.text
    started: Json = answer.json()
    await eventually(lambda: is_in_state(tenant.http, started["sessionId"], "live"), 60)
    return started


async def is_in_state(http: httpx.AsyncClient, session_id: str, state: str) -> bool:
    """Whether a session is in a state; False also while no worker has time to say so."""
    answer = await http.get(f"/v1/sessions/{session_id}")
    return answer.status_code == 200 and answer.json()["state"] == state
