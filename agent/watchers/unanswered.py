"""Whether the caller waits for an answer, and whether to ask them to repeat what was missed."""
# The SDK leaves the types of its session's event handlers and of user data open:
# pyright: reportUnknownMemberType=false

import asyncio
import time

from livekit.agents import AgentSession, AgentStateChangedEvent, UserStateChangedEvent, llm

FORGOTTEN_SECONDS = 30.0
"""How long after the caller has spoken an answer may begin. What gets none was no speech."""
QUIET_SECONDS = 1.0
"""How long an agent that takes over waits for the caller to speak."""
TRANSCRIBED_SECONDS = 3.0
"""How long the end and the transcript of what the caller says may take."""
_CHECK_SECONDS = 0.1


class Unanswered:
    """Knows whether the caller speaks, or has spoken and the agent has not begun to answer.

    With `waiting`, the caller has spoken to an agent that was lost.
    """

    def __init__(self, session: AgentSession[None], *, waiting: bool) -> None:
        self._session = session
        self._spoken = waiting
        self._spoken_at = time.monotonic()
        session.on("user_state_changed", self._user_changed)
        session.on("agent_state_changed", self._agent_changed)

    @property
    def waiting(self) -> bool:
        """Whether the caller waits for an answer."""
        if self._session.user_state == "speaking":
            return True
        return self._spoken and time.monotonic() - self._spoken_at < FORGOTTEN_SECONDS

    def heard(self) -> None:
        """Note that the caller has said something."""
        self._spoken, self._spoken_at = True, time.monotonic()

    async def until_quiet(self) -> bool:
        """Wait until nobody speaks; returns whether the caller still waits for an answer.

        Returns False at once when the agent begins to answer what it has heard.
        """
        quiet, wanted = 0.0, QUIET_SECONDS
        known = self._caller_turns()
        while quiet < wanted:
            await asyncio.sleep(_CHECK_SECONDS)
            quiet += _CHECK_SECONDS
            if self._session.user_state == "speaking":
                quiet, wanted = 0.0, TRANSCRIBED_SECONDS
            busy = self._session.agent_state in ("thinking", "speaking")
            if busy or self._caller_turns() > known:
                return False
        return self.waiting

    def _caller_turns(self) -> int:
        items = self._session.history.items
        return sum(isinstance(item, llm.ChatMessage) and item.role == "user" for item in items)

    def _user_changed(self, event: UserStateChangedEvent) -> None:
        if "speaking" in (event.old_state, event.new_state):
            self.heard()

    def _agent_changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._spoken = False
