"""A time limit for a realtime provider that has to answer the caller."""
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
"""How long the caller's last word may stay unanswered while the agent listens; then an answer is
requested. A false detection of speech causes no more than that. The time doubles with each request
until the provider has answered by itself."""
REPLY_SECONDS = 15.0
"""How long a requested reply may take to begin; plugins time out after 5 or 10 s, and then it is
requested again."""
STALLED_SECONDS = 30.0
"""How long a provider may send nothing after the caller has interrupted an answer, while no tool
runs and none of its sound is left to play."""
_CHECK_SECONDS = 0.5


class AnswerWatch:
    """Ends the conversation of a silent provider with the error of a lost connection."""

    def __init__(self, session: AgentSession[None]) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._listening_since = time.monotonic()
        self._tools: set[str] = set()
        self._worked_until = 0.0

    def start(self) -> None:
        """Start watching."""
        self._session.on("agent_state_changed", self._changed)
        self._session.on("tool_execution_updated", self._tool)
        self._task = asyncio.create_task(self._watch(), name="answer_watch")

    def stop(self) -> None:
        """Stop watching."""
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
            await asyncio.sleep(_CHECK_SECONDS)
            # Looked up each time: another agent may have taken over, with another engine.
            answering = answering_of(self._session)
            if answering is not None:
                self._check(answering)

    def _check(self, answering: Answering) -> None:
        if answering.asked_for() > REPLY_SECONDS:
            answering.fail(f"no answer within {REPLY_SECONDS:g} s of being asked for one")
        elif self._session.agent_state == "listening":
            if answering.dropped or (self._too_long(answering) and not answering.asked_for()):
                self._ask(answering)
        elif self._stalled_for(answering) > STALLED_SECONDS:
            answering.fail(f"no sign for {STALLED_SECONDS:g} s in the middle of an answer")

    def _too_long(self, answering: Answering) -> bool:
        # Speech during the agent's own speech need not be meant for it.
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
            # The session is closing, which stops this watch.
            log.info("realtime_answer_not_asked_for", why=type(error).__name__)
            return

        def over(_: object) -> None:
            # Interrupted, so the provider is alive.
            if speech.exception() is None:
                answering.settle(speech)

        answering.times_asked += 1
        # A provider that left the caller's turn open would delay the speech for ever.
        answering.expect(speech)
        speech.add_done_callback(over)
