"""An agent that replaces a lost one does not leave the caller waiting for an answer."""

from typing import Any

import pytest

from domain.agents.call_policy import RecoveryPolicy, SilencePolicy
from domain.agents.config import AgentConfig, ConversationStart
from domain.transcripts.transcript import Turn
from tests.agent.live import BOOK_A_TABLE, GOODBYE, GREETING, LiveSession
from tests.agent.samples import turn
from tests.fakes.callback_api import CallbackApi
from tests.harness.call import CHAT_TOPIC

pytestmark = pytest.mark.timeout(300)

EXCHANGE = [turn(0), turn(1), turn(2)]
SORRY = "Sorry, I lost you for a moment."
NUDGE = "Are you still there?"


def configure(session: LiveSession, recovery: RecoveryPolicy | None) -> None:
    session.config = AgentConfig(
        conversation_start=ConversationStart(who="ai", greeting=GREETING),
        recovery=recovery,
        silence=SilencePolicy(nudge_after=4, nudge_text=NUDGE),
    )


async def first_words(session: LiveSession) -> str:
    """What the agent says first to a caller who is silent."""
    callbacks = session.callbacks
    caller = await session.call()
    try:
        await callbacks.wait_for(lambda: bool(callbacks.turns))
    finally:
        await caller.disconnect()
    [first, *_] = callbacks.turns.values()
    assert first["role"] == "assistant"
    return first["text"]


@pytest.mark.parametrize("earlier", [[], EXCHANGE], ids=["at the beginning", "later"])
async def test_a_caller_whose_words_are_lost_is_asked_to_repeat_them(
    session: LiveSession, earlier: list[Turn]
) -> None:
    session.callbacks.earlier_turns = earlier
    configure(session, RecoveryPolicy(text=SORRY))
    if not earlier:
        # The caller speaks first, so nobody greets.
        session.config = session.config.model_copy(update={"conversation_start": None})
    await session.dispatch(attempt=2, unanswered=True)

    assert await first_words(session) == SORRY


async def test_without_given_words_the_model_chooses_them(session: LiveSession) -> None:
    session.callbacks.earlier_turns = EXCHANGE
    configure(session, None)
    await session.dispatch(attempt=2, unanswered=True)

    assert "Sorry for the interruption" in await first_words(session)


async def test_nothing_is_greeted_or_answered_twice_if_turns_are_missing(
    session: LiveSession,
) -> None:
    session.callbacks.earlier_turns = [turn(0), turn(1)]
    configure(session, RecoveryPolicy(text=SORRY))
    # Its agent server does not deliver it.
    await session.dispatch(attempt=2, undelivered_turn="item_1_2")

    assert await first_words(session) == SORRY


@pytest.mark.parametrize("case", ["switched off", "a finished exchange"])
async def test_otherwise_the_new_agent_waits_for_the_caller(
    session: LiveSession, case: str
) -> None:
    session.callbacks.earlier_turns = EXCHANGE
    off = case == "switched off"
    configure(session, RecoveryPolicy(enabled=not off, text=SORRY))
    await session.dispatch(attempt=2, unanswered=off)

    assert await first_words(session) == NUDGE


async def test_what_is_known_of_the_callers_words_is_answered(session: LiveSession) -> None:
    session.callbacks.earlier_turns = [turn(0), turn(1, text="A table for four, please.")]
    configure(session, RecoveryPolicy(text=SORRY))
    await session.dispatch(attempt=2, unanswered=True)

    assert "table for four" in await first_words(session)


async def test_a_first_agent_has_missed_nothing(session: LiveSession) -> None:
    configure(session, RecoveryPolicy(text=SORRY))
    await session.dispatch()

    assert await first_words(session) == GREETING


async def test_a_caller_who_is_speaking_is_answered_instead(session: LiveSession) -> None:
    callbacks = session.callbacks
    callbacks.earlier_turns = EXCHANGE
    configure(session, RecoveryPolicy(text=SORRY))
    callbacks.unavailable.add("ready")
    caller = await session.call()
    try:
        await session.dispatch(attempt=2, unanswered=True)
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        callbacks.unavailable.clear()
        await session.wait_until_claimed()
        await caller.play(BOOK_A_TABLE)
        await callbacks.wait_for(lambda: len(callbacks.turns) >= 2)
    finally:
        await caller.disconnect()

    asked, answered = list(callbacks.turns.values())[:2]
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    assert answered["text"] != SORRY


async def test_words_spoken_before_the_new_agent_listens_are_asked_for(
    session: LiveSession,
) -> None:
    callbacks = session.callbacks
    callbacks.earlier_turns = EXCHANGE
    configure(session, RecoveryPolicy(text=SORRY))
    callbacks.unavailable.add("ready")
    caller = await session.call()
    try:
        await session.dispatch(attempt=2)
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        await caller.play(GOODBYE)
        callbacks.unavailable.clear()
        await callbacks.wait_for(lambda: bool(callbacks.turns))
    finally:
        await caller.disconnect()

    [first, *_] = callbacks.turns.values()
    assert (first["role"], first["text"]) == ("assistant", SORRY)


@pytest.mark.parametrize("attempt", [1, 2])
async def test_what_is_typed_before_the_agent_listens_is_answered(
    session: LiveSession, attempt: int
) -> None:
    callbacks = session.callbacks
    callbacks.unavailable.add("ready")
    caller = await session.call()
    try:
        await session.dispatch(attempt)
        await callbacks.wait_for(lambda: bool(callbacks.of("ready")))
        # The agent is there and has not claimed the attempt yet.
        await caller.wait_until_heard(30)
        sender = caller.room.local_participant
        await sender.send_text("A table for four, please.", topic=CHAT_TOPIC)
        tries = len(callbacks.of("ready"))
        await callbacks.wait_for(lambda: len(callbacks.of("ready")) > tries)
        assert caller.subtitles.lines == [], "nobody speaks before the claim"
        callbacks.unavailable.clear()
        await callbacks.wait_for(
            lambda: any("table for four" in each["text"] for each in _answers(callbacks))
        )
    finally:
        await caller.disconnect()

    said = [each["text"] for each in _answers(callbacks)]
    assert said[0] == GREETING, "the greeting comes first"
    assert [each["role"] for each in callbacks.turns.values()].count("user") == 1


def _answers(callbacks: CallbackApi) -> list[dict[str, Any]]:
    return [each for each in callbacks.turns.values() if each["role"] == "assistant"]
