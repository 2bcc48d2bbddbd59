"""Which saved agents may take over the conversation of a session."""

from collections import deque
from contextlib import suppress

from domain.agents.config import AgentConfig
from domain.agents.saved_agent import SavedAgent
from domain.errors import InvalidInput, NotFound
from domain.sessions.dispatch_metadata import agent_metadata
from services.agents.configuration import no_such_agent
from services.agents.saved_agents import Agents

MOST_READ = 50
"""Saved agents read to find out whether one of them names the wanted agent."""


async def hand_off_target(
    agents: Agents, org: str, config: AgentConfig, agent_id: str
) -> SavedAgent:
    """The saved agent, if a session with this configuration can be handed over to it.

    It can if the configuration names the agent, or if an agent that it names does, and so on. An
    agent that is not named is not even looked up, so the answer never tells whether it exists.

    Raises:
        NotFound: the session cannot be handed over to it, or there is no such agent.
    """
    named = _named_by(config)
    waiting, seen = deque(named), set[str]()
    while agent_id not in named and waiting and len(seen) < MOST_READ:
        following = waiting.popleft()
        if following in seen:
            continue
        seen.add(following)
        # It may have been deleted since the session started.
        with suppress(NotFound, InvalidInput):
            named = _named_by((await agents.get(org, following)).config)
            waiting.extend(named)
    if agent_id not in named:
        raise no_such_agent(agent_id)
    return await agents.get(org, agent_id)


def _named_by(config: AgentConfig) -> list[str]:
    """The agents that an agent with this configuration is told of."""
    return [one.id for one in agent_metadata(config, "").managed_agents or ()]
