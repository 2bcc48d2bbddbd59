"""The silence policy: ask whether the caller is still there, then end the call."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable

import structlog
from livekit.agents import AgentSession, ConversationItemAddedEvent, llm

from domain.agents.call_policy import SilencePolicy

log = structlog.stdlib.get_logger(__name__)


class SilenceWatch:
    """Measures the time in which nobody speaks and no tool works, while the caller is there.

    Args:
        session: the conversation.
        policy: what to do, and when.
        caller_here: whether the caller is in the room; without them no time passes.
        nudge: asks the caller.
        give_up: ends the call.
    """

    def __init__(
        self,
        session: AgentSession[None],
        policy: SilencePolicy,
        *,
        caller_here: Callable[[], bool],
        nudge: Callable[[], object],
        give_up: Callable[[], object],
    ) -> None:
        self._session = session
        self._policy = policy
        self._caller_here = caller_here
        self._nudge = nudge
        self._give_up = give_up
        self._nudged = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        if not self._policy.enabled:
            return
        self._session.on("user_state_changed", self._changed)
        self._session.on("agent_state_changed", self._changed)
        self._session.on("user_input_transcribed", self._heard)
        self._session.on("conversation_item_added", self._added)
        self._rearm()

    def stop(self) -> None:
        """Measure no more."""
        for event in ("user_state_changed", "agent_state_changed"):
            self._session.off(event, self._changed)
        self._session.off("user_input_transcribed", self._heard)
        self._session.off("conversation_item_added", self._added)
        self._disarm()

    def _changed(self, _: object) -> None:
        if self._session.user_state == "speaking":
            self._nudged = 0
        if self._quiet():
            self._rearm()
        else:
            self._disarm()

    def _added(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "user":
            self._heard(event)

    def _heard(self, _: object) -> None:
        # Words count although no voice was noticed: they may be typed, or very quiet.
        self._nudged = 0
        if self._quiet():
            self._rearm()

    def _quiet(self) -> bool:
        # While a tool works the agent is "thinking".
        return self._session.user_state != "speaking" and self._session.agent_state == "listening"

    def _rearm(self) -> None:
        self._disarm()
        last = self._nudged >= self._policy.nudges
        wait = self._policy.end_after if last else self._policy.nudge_after
        self._timer = asyncio.get_running_loop().call_later(wait, self._passed)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _passed(self) -> None:
        self._timer = None
        if not self._quiet():
            return
        if self._session.current_speech is not None:
            # On its way to be heard: a slow voice is not the caller's silence.
            self._rearm()
        elif not self._caller_here():
            # Whether somebody comes back is for Everline to wait for.
            self._nudged = 0
            self._rearm()
        elif self._nudged < self._policy.nudges:
            self._nudged += 1
            log.info("caller_silent", nudge=self._nudged)
            self._nudge()
            self._rearm()
        else:
            log.info("caller_silent_to_the_end", nudges=self._nudged)
            self.stop()
            self._give_up()
