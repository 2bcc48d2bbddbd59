"""A provider that owes an answer and gives no sign ends the session, and no other does."""
# The SDK leaves the types of its session's event handlers and of run results open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from livekit import rtc
from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    CloseEvent,
    CloseReason,
    function_tool,
    llm,
)
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities

from agent.engines.parts import ProviderSilent
from agent.engines.realtime.answering import Answering, answering_of
from agent.watchers import answers as answer_watch
from agent.watchers.answers import AnswerWatch
from tests.agent.engines.realtime.talk import (
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
    name: str, fake: FakeProvider, tools: Sequence[llm.Tool] = ()
) -> AsyncGenerator[tuple[AgentSession[None], list[CloseEvent]]]:
    """A session after its first exchange, and how it was closed."""
    fake.script = [FIRST]
    async with talking(config(MODELS[name]), settings(fake), tools=tools) as session:
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


class Loudspeaker(AudioOutput):
    """Plays what it is given until it is told that the sound is over."""

    def __init__(self) -> None:
        super().__init__(label="test", capabilities=AudioOutputCapabilities(pause=False))
        self._seconds = 0.0
        self._over = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._seconds:
            self.on_playback_started(created_at=time.time())
        self._seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._seconds:
            self._ending = asyncio.create_task(self._end())

    def clear_buffer(self) -> None:
        self.over()

    def over(self) -> None:
        self._over.set()

    async def _end(self) -> None:
        await self._over.wait()
        self._over.clear()
        played, self._seconds = self._seconds, 0.0
        self.on_playback_finished(playback_position=played, interrupted=False)


def owed_by(session: AgentSession[None]) -> Answering:
    found = answering_of(session)
    assert found is not None
    return found


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


async def test_a_tool_may_work_for_longer_than_a_provider_may_be_silent(
    name: str, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "STALLED_SECONDS", 0.5)
    at_work, may_end = asyncio.Event(), asyncio.Event()

    @function_tool
    async def look_up_table() -> str:
        """Look for a free table."""
        at_work.set()
        await may_end.wait()
        return "table seven is free"

    async with watched(name, fake, [look_up_table]) as (session, closed):
        fake.script = [Exchange("A table for four.", "Seven is free.", "look_up_table")]
        say_words(session)
        async with asyncio.timeout(30):
            await at_work.wait()
        # "Hello? Are you there?", to which a provider that waits for a tool need not react.
        fake.latest.ear.deaf = True
        say_words(session)
        await eventually(lambda: bool(closed) or owed_by(session).unanswered_for() > 2.0, 30)
        may_end.set()
        await eventually(lambda: bool(closed) or len(said(session)) == 4, 30)

        assert closed == []
        assert said(session)[2:] == [("user", "A table for four."), ("assistant", "Seven is free.")]


async def test_a_long_answer_may_be_talked_into(
    name: str, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "STALLED_SECONDS", 0.5)
    monkeypatch.setattr(answer_watch, "ANSWER_SECONDS", 1.0)
    asked_for = Exchange(answer="Are you still there?")
    speaker = Loudspeaker()
    async with watched(name, fake) as (session, closed):
        changes: list[float] = []

        def changed(_: AgentStateChangedEvent) -> None:
            changes.append(time.monotonic())

        session.on("agent_state_changed", changed)
        session.output.audio = speaker
        fake.answer_seconds = 15.0
        fake.script = [FIRST, asked_for]
        say_words(session)
        await eventually(lambda: session.agent_state == "speaking", 30)
        # The provider has sent all of it, and does not take this for an interruption.
        fake.latest.ear.deaf = True
        say_words(session)
        await eventually(lambda: bool(closed) or owed_by(session).unanswered_for() > 2.0, 30)
        assert session.agent_state == "speaking"
        assert closed == []
        fake.answer_seconds = 1.0
        speaker.over()
        await eventually(lambda: session.agent_state == "listening", 30)
        heard_to_the_end = changes[-1]
        await eventually(lambda: bool(closed) or session.agent_state == "speaking", 30)

        assert closed == []
        # The caller gets the time for an answer that is meant.
        assert changes[-1] - heard_to_the_end > 1.0


async def test_who_does_not_answer_what_only_we_hear_is_asked_more_and_more_seldom(
    name: str, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_watch, "ANSWER_SECONDS", 0.5)
    async with watched(name, fake) as (session, closed):
        # A television in the caller's room.
        fake.latest.ear.deaf = True
        for times in (1, 2):
            say_words(session)
            await eventually(lambda known=times: len(said(session)) == 2 + known, 30)
        say_words(session)
        await eventually(lambda: bool(closed) or owed_by(session).unanswered_for() > 1.5, 30)
        assert len(said(session)) == 4
        # Asked twice already: the third time takes 2 s. An answer of its own begins anew.
        fake.latest.ear.deaf = False
        say_words(session)
        await eventually(lambda: len(said(session)) >= 6, 30)

        assert owed_by(session).times_asked == 0
        assert closed == []
