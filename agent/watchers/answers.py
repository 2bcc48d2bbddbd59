"""A bound on the silence of a realtime provider that owes the caller an answer."""
# The SDK leaves the types of its session's methods open:
# pyright: reportUnknownMemberType=false

import asyncio
import time

import structlog
from livekit.agents import AgentSession, AgentStateChangedEvent
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted, ToolExecutionUpdatedEvent

from agent.engines.realtime.answering import Answering, answering_of

log = structlog.stdlib.get_logger(__name__)

ANSWER_SECONDS = 10.0
"""How long the caller's last word may be without an answer while the agent listens; then the
answer is asked for. A sound that only we took for speech does no more than that, and twice as late
each time until the provider has answered of itself."""
REPLY_SECONDS = 15.0
"""How long a reply that was asked for may take to begin; the plugins give theirs up after 5 or
10 s, and then it is asked for again."""
STALLED_SECONDS = 30.0
"""How long nothing may come from a provider that the caller has interrupted in mid-answer, while
no tool works and none of its sound is left to be played."""
_LOOK_SECONDS = 0.5


class AnswerWatch:
    """Ends a conversation whose provider is silent by the error that a lost connection ends in."""

    def __init__(self, session: AgentSession[None]) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._listening_since = time.monotonic()
        self._tools: set[str] = set()
        self._worked_until = 0.0

    def start(self) -> None:
        """Begin to watch."""
        self._session.on("agent_state_changed", self._changed)
        self._session.on("tool_execution_updated", self._tool)
        self._task = asyncio.create_task(self._watch(), name="answer_watch")

    def stop(self) -> None:
        """Watch no more."""
        self._session.off("agent_state_changed", self._changed)
        self._session.off("tool_execution_updated", self._tool)
        if self._task is not None:
            self._task.cancel()

    def _changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "listening":
            self._listening_since = time.monotonic()

    def _tool(self, event: ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if isinstance(update, ToolCallStarted):
            self._tools.add(update.function_call.call_id)
        elif isinstance(update, ToolCallEnded):
            self._tools.discard(update.call_id)
            self._worked_until = time.monotonic()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # Each time anew: another agent may have taken over, with another engine.
            answering = answering_of(self._session)
            if answering is not None:
                self._look(answering)

    def _look(self, answering: Answering) -> None:
        if answering.asked_for() > REPLY_SECONDS:
            answering.give_up(f"no answer within {REPLY_SECONDS:g} s of being asked for one")
        elif self._session.agent_state == "listening":
            if answering.dropped or (self._too_long(answering) and not answering.asked_for()):
                self._ask(answering)
        elif self._stalled_for(answering) > STALLED_SECONDS:
            answering.give_up(f"no sign for {STALLED_SECONDS:g} s in the middle of an answer")

    def _too_long(self, answering: Answering) -> bool:
        # What was said into the agent's own words need not be meant for it.
        listened = time.monotonic() - self._listening_since
        patience = ANSWER_SECONDS * 2**answering.times_asked
        return min(answering.unanswered_for(), listened) > patience

    def _stalled_for(self, answering: Answering) -> float:
        if self._tools:
            return 0.0
        idle = time.monotonic() - self._worked_until
        return min(answering.unanswered_for(), answering.silent_for(), idle)

    def _ask(self, answering: Answering) -> None:
        log.warning("realtime_answer_asked_for")
        try:
            speech = self._session.generate_reply()
        except RuntimeError as error:
            # It is being closed, which stops this watch in a moment.
            log.info("realtime_answer_not_asked_for", why=type(error).__name__)
            return

        def over(_: object) -> None:
            # Interrupted, so the provider is there.
            if speech.exception() is None:
                answering.forgive(speech)

        answering.times_asked += 1
        # From now on: a provider that left the caller's turn open holds the speech back for ever.
        answering.owe(speech)
        speech.add_done_callback(over)
