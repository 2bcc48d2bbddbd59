"""Tell the agent to finish its call."""

from pydantic import BaseModel
from temporalio import activity

from activities.dispatch import attempt_of
from domain.control import CONTROL_TOPIC, FinishCall
from domain.ports import Participant, Rooms


class FinishAgents(BaseModel):
    """The agents of a room to finish, and why."""

    livekit_room: str
    reason: str


class FinishActivities:
    """Ending the agent's part so that its report still comes."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @activity.defn
    async def ask_agents_to_finish(self, order: FinishAgents) -> int:
        """Send our agents a message into the room; remove foreign ones, which ends their job.

        Returns:
            How many agents were told or removed.
        """
        agents = await self._agents(order.livekit_room)
        ours = [agent.identity for agent in agents if attempt_of(agent) is not None]
        if ours:
            message = FinishCall(reason=order.reason).model_dump_json().encode()
            await self._rooms.send_data(order.livekit_room, CONTROL_TOPIC, message, ours)
        for agent in agents:
            if agent.identity not in ours:
                await self._rooms.remove_participant(order.livekit_room, agent.identity)
        return len(agents)

    @activity.defn
    async def remove_agents(self, order: FinishAgents) -> int:
        """Remove every agent from the room; their end hooks still run. Returns how many."""
        agents = await self._agents(order.livekit_room)
        for agent in agents:
            await self._rooms.remove_participant(order.livekit_room, agent.identity)
        return len(agents)

    async def _agents(self, room: str) -> list[Participant]:
        return [p for p in await self._rooms.participants(room) if p.kind == "agent"]
