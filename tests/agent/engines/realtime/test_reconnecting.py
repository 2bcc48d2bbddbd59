"""A connection that ends, at its provider's limit or before it, takes the conversation along."""

from collections.abc import Sequence

import pytest
from livekit.agents import AgentSession, llm

from tests.agent.engines.realtime.seen import beginning, seen
from tests.agent.engines.realtime.talk import (
    MODELS,
    PLUGINS_OWN_WARNINGS,
    PROMPT,
    config,
    said,
    settings,
    speak,
    talking,
)
from tests.fakes.realtime import Exchange, FakeProvider, GeminiLive
from tests.waiting import eventually

pytestmark = PLUGINS_OWN_WARNINGS

FIRST = Exchange(heard="I would like to book a table.", answer="For which day?")
SECOND = Exchange(heard="For tomorrow.", answer="At what time?")
FIRST_SAID = [("user", FIRST.heard), ("assistant", FIRST.answer)]
SECOND_SAID = [("user", SECOND.heard), ("assistant", SECOND.answer)]


async def converse(session: AgentSession[None], wanted: Sequence[tuple[str, str]]) -> None:
    """Speak a turn, and wait until it and its answer are in the history."""
    speak(session)
    await eventually(lambda: said(session) == list(wanted), 30, f"{wanted} in {said(session)}")


async def test_a_lost_connection_is_made_again_with_what_was_said(
    name: str, fake: FakeProvider
) -> None:
    fake.script = [FIRST, SECOND]
    async with talking(config(MODELS[name]), settings(fake)) as session:
        await converse(session, FIRST_SAID)
        await fake.hang_up()
        await fake.wait_for(lambda: len(fake.connections) >= 2)
        await fake.wait_for(lambda: has_history(name, fake))
        await converse(session, FIRST_SAID + SECOND_SAID)

        again = seen(name, fake.latest)
    assert again.history[:2] == FIRST_SAID
    assert again.prompt == PROMPT
    assert fake.latest.ear.seconds > 0.5


@pytest.mark.parametrize("name", ["openai", "xai", "ultravox"])
async def test_a_connection_is_replaced_before_its_limit(name: str, fake: FakeProvider) -> None:
    fake.script = [FIRST]
    # The turn has to be over before.
    given = settings(fake, everline_realtime_session_seconds=5)
    async with talking(config(MODELS[name]), given) as session:
        await converse(session, FIRST_SAID)
        await fake.wait_for(lambda: len(fake.connections) >= 2 and has_history(name, fake))

        assert seen(name, fake.connections[1]).history[:2] == FIRST_SAID
        assert said(session) == FIRST_SAID


@pytest.mark.parametrize("name", ["ultravox"])
async def test_an_ultravox_call_is_created_for_longer_than_it_is_used(
    name: str, fake: FakeProvider
) -> None:
    async with talking(config(MODELS[name]), settings(fake)):
        assert (await beginning(name, fake)).setup["maxDuration"] == "3600s"


@pytest.mark.parametrize("gives_handles", [True, False])
@pytest.mark.parametrize("name", ["google"])
async def test_gemini_goes_on_after_the_end_of_a_connection(
    fake: GeminiLive, gives_handles: bool
) -> None:
    fake.script = [FIRST, SECOND]
    fake.gives_handles = gives_handles
    async with talking(config(MODELS["google"]), settings(fake)) as session:
        await converse(session, FIRST_SAID)
        await fake.go_away(5)
        await fake.wait_for(lambda: len(fake.connections) >= 2)
        await fake.wait_for(lambda: gives_handles or has_history("google", fake))
        await converse(session, FIRST_SAID + SECOND_SAID)

        resumed = fake.latest.setup["sessionResumption"].get("handle")
        # What the handle stands for is not told again.
        told = seen("google", fake.latest).history
    assert (resumed is not None, bool(told)) == (gives_handles, not gives_handles)


@pytest.mark.parametrize("name", ["google"])
async def test_gemini_changes_connections_between_sentences(fake: GeminiLive) -> None:
    fake.script = [FIRST]
    fake.may_finish.clear()
    async with talking(config(MODELS["google"]), settings(fake)) as session:
        speak(session)
        await fake.wait_for(lambda: fake.unfinished)
        await fake.go_away(30)
        # Told after it: had the connection been given up, this would not arrive.
        await fake.latest.send({"serverContent": {"outputTranscription": {"text": " Please?"}}})
        fake.may_finish.set()
        await fake.wait_for(lambda: len(fake.connections) >= 2)
        await eventually(lambda: len(said(session)) == 2, 30)

        assert said(session)[1] == ("assistant", f"{FIRST.answer} Please?")


async def test_a_new_agent_is_told_what_the_one_before_it_has_heard(
    name: str, fake: FakeProvider
) -> None:
    history = llm.ChatContext.empty()
    history.add_message(role="assistant", content="Hello, this is the table service.")
    history.add_message(role="user", content="A table for four, please.")
    fake.script = [Exchange(answer="For which day?")]
    async with talking(config(MODELS[name]), settings(fake), history=history) as session:
        session.generate_reply()
        await eventually(lambda: bool(said(session)), 30)

        assert said(session) == [("assistant", "For which day?")]
        told = seen(name, fake.latest).history
    assert told == [
        ("assistant", "Hello, this is the table service."),
        ("user", "A table for four, please."),
    ]


@pytest.mark.parametrize("name", ["ultravox"])
async def test_ultravox_is_not_asked_for_an_answer_by_what_is_only_told(
    fake: FakeProvider,
) -> None:
    async with talking(config(MODELS["ultravox"]), settings(fake)) as session:
        answered = session.generate_reply(user_input="A table, please.")
        await answered.wait_for_playout()
        told = fake.latest.of("user_text_message")

        # Ultravox repeats in its transcript what it has read; that is nobody's turn.
        assert said(session) == [("user", "A table, please."), ("assistant", "For which day?")]
    assert [(each["text"], each.get("deferResponse", False)) for each in told] == [
        ("A table, please.", True),
        ("", False),
    ]


def has_history(name: str, fake: FakeProvider) -> bool:
    """Whether the latest connection has been told of two turns."""
    try:
        return len(seen(name, fake.latest).history) >= 2
    except KeyError:
        return False  # not set up yet
