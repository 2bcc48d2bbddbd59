"""A provider that owes an answer and gives no sign ends the session, and no other does."""
# The SDK leaves the types of its session's event handlers and of run results open:
# pyright: reportUnknownMemberType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from livekit.agents import AgentSession, CloseEvent, CloseReason, llm

from agent import answer_watch
from agent.answer_watch import AnswerWatch
from agent.engines.faults import ProviderSilent
from tests.agent.realtime.talk import (
    MODELS,
    PLUGINS_OWN_WARNINGS,
    config,
    said,
    say_words,
    settings,
    talking,
)
from tests.fakes.realtime import Exchange, FakeProvider, GeminiLive, Refusal
from tests.waiting import eventually

pytestmark = PLUGINS_OWN_WARNINGS

FIRST = Exchange(heard="I would like to book a table.", answer="For which day?")
FIRST_SAID = [("user", FIRST.heard), ("assistant", FIRST.answer)]


@asynccontextmanager
async def watched(
    name: str, fake: FakeProvider
) -> AsyncGenerator[tuple[AgentSession[None], list[CloseEvent]]]:
    """A session after its first exchange, and how it was closed."""
    fake.script = [FIRST]
    async with talking(config(MODELS[name]), settings(fake)) as session:
        closed: list[CloseEvent] = []
        session.on("close", closed.append)
        say_words(session)
        await eventually(lambda: said(session) == FIRST_SAID, 30)
        watch = AnswerWatch(session)
        watch.start()
        try:
            yield session, closed
        finally:
            watch.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long: the provider of these tests will never answer."""
    monkeypatch.setattr(answer_watch, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(answer_watch, "REPLY_SECONDS", 1.0)


def silent(closed: list[CloseEvent], why: str) -> bool:
    """Whether the session was closed because its provider gave no sign; fails if otherwise."""
    if not closed:
        return False
    [event] = closed
    assert event.reason is CloseReason.ERROR
    assert isinstance(event.error, llm.RealtimeModelError)
    assert isinstance(event.error.error, ProviderSilent)
    assert str(event.error.error) == why
    return True


def not_begun(name: str) -> str:
    return f"{name} is silent: no answer within 1 s of being asked for one"


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_stops_answering_in_mid_call_is_given_up(
    name: str, fake: FakeProvider
) -> None:
    async with watched(name, fake) as (session, closed):
        fake.refusal = Refusal.SILENCE
        say_words(session)
        await eventually(lambda: silent(closed, not_begun(name)), 30)

        # The connection was whole; the plugin has noticed nothing.
        assert len(fake.connections) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_takes_the_next_connection_in_silence_is_given_up(
    name: str, fake: FakeProvider
) -> None:
    async with watched(name, fake) as (session, closed):
        fake.refusal = Refusal.SILENCE
        tried = fake.tried
        await fake.hang_up()
        await fake.wait_for(lambda: fake.tried > tried)
        assert closed == []
        say_words(session)
        await eventually(lambda: silent(closed, not_begun(name)), 30)


@pytest.mark.usefixtures("impatient")
async def test_a_provider_that_does_not_begin_a_reply_is_given_up(
    name: str, fake: FakeProvider
) -> None:
    async with watched(name, fake) as (session, closed):
        fake.refusal = Refusal.SILENCE
        session.generate_reply()
        await eventually(lambda: silent(closed, not_begun(name)), 30)


@pytest.mark.parametrize("name", ["google"])
async def test_a_provider_that_stops_in_the_middle_of_an_answer_is_given_up(
    name: str, fake: GeminiLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "STALLED_SECONDS", 0.5)
    async with watched(name, fake) as (session, closed):
        fake.may_finish.clear()
        say_words(session)
        await fake.wait_for(lambda: fake.unfinished)
        assert closed == []
        say_words(session)
        why = "google is silent: no sign for 0.5 s in the middle of an answer"
        await eventually(lambda: silent(closed, why), 30)


async def test_a_provider_that_has_not_heard_the_caller_answers_when_it_is_asked(
    name: str, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "ANSWER_SECONDS", 0.5)
    asked_for = Exchange(answer="Are you still there?")
    async with watched(name, fake) as (session, closed):
        fake.script = [asked_for]
        fake.latest.ear.deaf = True
        say_words(session)
        await eventually(lambda: len(said(session)) == 3, 30)
        monkeypatch.setattr(answer_watch, "ANSWER_SECONDS", 60.0)
        fake.latest.ear.deaf = False
        fake.script = [FIRST]
        say_words(session)
        await eventually(lambda: len(said(session)) == 5, 30)

        expected = [*FIRST_SAID, ("assistant", asked_for.answer), *FIRST_SAID]
        assert said(session) == expected
        assert closed == []
