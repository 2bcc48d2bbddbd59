"""Whether the caller waits for an answer, as it is told to whoever takes over."""

import pytest
from livekit.agents import AgentSession, AgentStateChangedEvent, UserStateChangedEvent
from livekit.agents.voice.events import AgentState, UserState

from agent.watchers import unanswered
from agent.watchers.unanswered import Unanswered


def user(session: AgentSession[None], old: UserState, new: UserState) -> None:
    event = UserStateChangedEvent(old_state=old, new_state=new)
    session.emit("user_state_changed", event)


def agent(session: AgentSession[None], old: AgentState, new: AgentState) -> None:
    event = AgentStateChangedEvent(old_state=old, new_state=new)
    session.emit("agent_state_changed", event)


async def test_a_caller_who_has_spoken_waits_until_the_agent_speaks() -> None:
    session: AgentSession[None] = AgentSession()
    watch = Unanswered(session, waiting=False)
    assert not watch.waiting
    user(session, "listening", "speaking")
    user(session, "speaking", "listening")
    assert watch.waiting
    agent(session, "listening", "thinking")
    assert watch.waiting
    agent(session, "thinking", "speaking")
    assert not watch.waiting
    user(session, "listening", "away")
    assert not watch.waiting, "silence is no speech"


async def test_who_spoke_to_a_lost_agent_still_waits_if_the_next_one_is_lost() -> None:
    session: AgentSession[None] = AgentSession()
    watch = Unanswered(session, waiting=True)

    assert watch.waiting
    agent(session, "listening", "speaking")
    assert not watch.waiting


async def test_a_noise_that_gets_no_answer_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    session: AgentSession[None] = AgentSession()
    watch = Unanswered(session, waiting=False)
    user(session, "listening", "speaking")
    user(session, "speaking", "listening")
    assert watch.waiting

    monkeypatch.setattr(unanswered, "FORGOTTEN_SECONDS", 0.0)

    assert not watch.waiting
