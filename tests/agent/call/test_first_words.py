"""A caller who speaks while the agent begins to speak is heard."""

import pytest

from domain.agents.config import AgentConfig, ConversationStart
from tests.agent.live import BOOK_A_TABLE, GREETING, CallerKind, LiveSession
from tests.agent.samples import turn
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

LONG_GREETING = f"{GREETING} We are open every day from ten in the morning until midnight."


@pytest.mark.parametrize(
    ("attempt", "kind", "heard"),
    [
        # The beginning may be lost to the protection from echoes, but no more.
        (1, "standard", "table for four"),
        (1, "sip", "like to book a table for four"),
        (2, "standard", "like to book a table for four"),
    ],
    ids=["an app", "a phone", "a replacement"],
)
async def test_what_a_caller_says_over_the_agents_first_words_is_heard(
    session: LiveSession, attempt: int, kind: CallerKind, heard: str
) -> None:
    callbacks = session.callbacks
    start = ConversationStart(who="ai", greeting=LONG_GREETING)
    session.config = AgentConfig(conversation_start=start)
    if attempt > 1:
        # The greeting was cut off, so it is said again.
        callbacks.earlier_turns = [turn(0).model_copy(update={"interrupted": True})]
    await session.dispatch(attempt)
    caller = await session.call(kind)
    try:
        await caller.wait_until_heard(30)
        await eventually(lambda: caller.heard.speech_seconds() > 0, what="the greeting begins")
        await caller.play(BOOK_A_TABLE)
        await callbacks.wait_for(
            lambda: any(each["role"] == "user" for each in callbacks.turns.values())
        )
    finally:
        await caller.disconnect()

    greeting, asked = list(callbacks.turns.values())[:2]
    assert greeting["interrupted"]
    assert heard in asked["text"]
