"""The silence policy: ask whether the caller is still there, then end the call."""
# The SDK leaves the types of its session's event handlers open:
# pyright: reportUnknownMemberType=false

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from livekit.agents import AgentSession, ConversationItemAddedEvent, llm
from livekit.agents.voice.events import EventTypes

from domain.agents.call_policy import SilencePolicy

log = structlog.stdlib.get_logger(__name__)


@dataclass
class SilenceWatch:
    """Measures how long nobody speaks and no tool runs while the caller is in the room.

    `nudge` asks the caller whether they are there; `end_call` ends the call.
    """

    session: AgentSession[None]
    policy: SilencePolicy
    caller_here: Callable[[], bool]
    nudge: Callable[[], object]
    end_call: Callable[[], object]
    _nudged: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def start(self) -> None:
        """Start measuring."""
        if self.policy.enabled:
            for event, handle in self._handlers().items():
                self.session.on(event, handle)
            self._rearm()

    def stop(self) -> None:
        """Stop measuring."""
        for event, handle in self._handlers().items():
            self.session.off(event, handle)
        self._disarm()

    def _handlers(self) -> dict[EventTypes, Callable[[Any], None]]:
        return {
            "user_state_changed": self._changed,
            "agent_state_changed": self._changed,
            "user_input_transcribed": self._heard,
            "conversation_item_added": self._added,
        }

    def _changed(self, _: object) -> None:
        if self.session.user_state == "speaking":
            self._nudged = 0
        if self._quiet():
            self._rearm()
        else:
            self._disarm()

    def _added(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "user":
            self._heard(event)

    def _heard(self, _: object) -> None:
        # Words count even if no voice was noticed: they may be typed, or very quiet.
        self._nudged = 0
        self._changed(None)

    def _quiet(self) -> bool:
        # While a tool works the agent is "thinking".
        return self.session.user_state != "speaking" and self.session.agent_state == "listening"

    def _rearm(self) -> None:
        self._disarm()
        last = self._nudged >= self.policy.nudges
        wait = self.policy.end_after if last else self.policy.nudge_after
        self._timer = asyncio.get_running_loop().call_later(wait, self._passed)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _passed(self) -> None:
        self._timer = None
        if not self._quiet():
            return
        if self.session.current_speech is not None:
            # Speech is about to be heard: a slow voice is not the caller's silence.
            self._rearm()
        elif not self.caller_here():
            # Everline decides how long to wait for the caller to return.
            self._nudged = 0
            self._rearm()
        elif self._nudged < self.policy.nudges:
            self._nudged += 1
            log.info("caller_silent", nudge=self._nudged)
            self.nudge()
            self._rearm()
        else:
            log.info("caller_silent_to_the_end", nudges=self._nudged)
            self.stop()
            self.end_call()
