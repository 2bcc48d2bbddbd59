"""A bound on the silence of a realtime provider that owes the caller an answer."""
# The SDK leaves the types of its session's methods open:
# pyright: reportUnknownMemberType=false

import asyncio

import structlog
from livekit.agents import AgentSession

from agent.engines.realtime.answering import Answering, answering_of

log = structlog.stdlib.get_logger(__name__)

ANSWER_SECONDS = 10.0
"""How long the caller's last word may be without an answer; then the answer is asked for. A sound
that only we took for speech does no more than that."""
REPLY_SECONDS = 15.0
"""How long a reply that was asked for may take to begin; the plugins give theirs up after 5 or
10 s, and then it is asked for again."""
STALLED_SECONDS = 30.0
"""How long nothing may come from a provider that the caller has interrupted in mid-answer. Longer,
because there may be a tool at work, or speech to be played that came all at once."""
_LOOK_SECONDS = 0.5


class AnswerWatch:
    """Ends a conversation whose provider is silent by the error that a lost connection ends in."""

    def __init__(self, session: AgentSession[None]) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="answer_watch")

    def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()

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
            if answering.dropped or (
                answering.unanswered_for() > ANSWER_SECONDS and not answering.asked_for()
            ):
                self._ask(answering)
        elif min(answering.unanswered_for(), answering.silent_for()) > STALLED_SECONDS:
            answering.give_up(f"no sign for {STALLED_SECONDS:g} s in the middle of an answer")

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

        # From now on: a provider that left the caller's turn open holds the speech back for ever.
        answering.owe(speech)
        speech.add_done_callback(over)
