"""Tell the agent to finish its call, and disconnect callers who have no agent any more."""

from pydantic import BaseModel
from temporalio import activity

from activities.dispatch import attempt_of
from domain.errors import NotFound
from domain.sessions.control import CONTROL_TOPIC, FinishCall
from domain.sessions.ports import NEVER_CALLERS, Participant, Rooms


class FinishAgents(BaseModel):
    """The agents of a room to finish, and why."""

    livekit_room: str
    reason: str
    agent: str | None = None
    """Identity of our agent, told whether LiveKit lists it or not; from orders that name it."""


class RemoveCallers(BaseModel):
    """The room whose callers to disconnect."""

    livekit_room: str


class FinishActivities:
    """Ending the agent's part so that its report still comes."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @activity.defn
    async def ask_agents_to_finish(self, order: FinishAgents) -> int:
        """Send our agents a message into the room; remove external ones, which ends their jobs.

        Returns:
            How many agents were told or removed.
        """
        agents = await self._agents(order.livekit_room)
        ours = {agent.identity for agent in agents if attempt_of(agent) is not None}
        if order.agent is not None:
            ours.add(order.agent)
        others = [agent.identity for agent in agents if agent.identity not in ours]
        for identity in others:
            await self._rooms.remove_participant(order.livekit_room, identity)
        told = await self._tell(order, sorted(ours)) if ours else 0
        return told + len(others)

    async def _tell(self, order: FinishAgents, agents: list[str]) -> int:
        message = FinishCall(reason=order.reason).model_dump_json().encode()
        try:
            await self._rooms.send_data(order.livekit_room, CONTROL_TOPIC, message, agents)
        except NotFound:  # whoever was in it is gone with it
            return 0
        return len(agents)

    @activity.defn
    async def remove_agents(self, order: FinishAgents) -> int:
        """Remove every agent from the room; their end hooks still run. Returns how many."""
        identities = {agent.identity for agent in await self._agents(order.livekit_room)}
        if order.agent is not None:
            identities.add(order.agent)
        room = order.livekit_room
        return sum([await self._rooms.remove_participant(room, who) for who in sorted(identities)])

    @activity.defn
    async def remove_callers(self, order: RemoveCallers) -> int:
        """Disconnect the callers, also those who are connecting. Returns how many."""
        room = order.livekit_room
        people = await self._rooms.participants(room)
        callers = sorted({one.identity for one in people if one.kind not in NEVER_CALLERS})
        return sum([await self._rooms.remove_participant(room, who) for who in callers])

    async def _agents(self, room: str) -> list[Participant]:
        return [p for p in await self._rooms.participants(room) if p.kind == "agent"]
