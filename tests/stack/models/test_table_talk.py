from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.models.tabletalk.dialogue import answer
from stack.models.tabletalk.hearing import Intent, Slot, hear
from stack.models.tabletalk.persona import DEFAULT_HOURS, Persona, persona
from stack.models.tabletalk.transcript import read, summarise

NOBODY = Persona()


@pytest.mark.parametrize(
    ("said", "size", "day", "time", "name"),
    [
        ("Hello, I would like to book a table for four people.", 4, None, None, None),
        ("Tomorrow evening at 7, please.", None, "tomorrow", "seven in the evening", None),
        ("A table for 7 o'clock tonight", None, "tonight", "seven", None),
        ("Table for two at 7 30 on Friday", 2, "on Friday", "half past seven", None),
        ("at 730.", None, None, "half past seven", None),
        ("quarter to 8 p.m.", None, None, "quarter to eight in the evening", None),
        ("at 19:30", None, None, "half past seven in the evening", None),
        ("at 12:05 at noon", None, None, "noon", None),
        ("on the 3rd of May", None, "on May 3rd", None, None),
        ("the day after tomorrow", None, "the day after tomorrow", None, None),
        ("Twenty-five guests on next Sunday", 25, "next Sunday", None, None),
        ("It's just me.", 1, None, None, None),
        ("My name is Anna Miller.", None, None, None, "Anna Miller"),
        ("This is Peter Johnson, hello", None, None, None, "Peter Johnson"),
        ("under the name of smith", None, None, None, "Smith"),
        ("What are your opening hours?", None, None, None, None),
        ("I'm sorry?", None, None, None, None),
    ],
)
def test_what_is_understood(
    said: str, size: int | None, day: str | None, time: str | None, name: str | None
) -> None:
    heard = hear(said)
    assert (heard.party_size, heard.day, heard.time, heard.name) == (size, day, time, name)


@pytest.mark.parametrize(
    ("said", "asked", "field", "value"),
    [
        ("Six.", Slot.PARTY_SIZE, "party_size", 6),
        ("Eight, please.", Slot.TIME, "time", "eight o'clock"),
        ("Johnson.", Slot.NAME, "name", "Johnson"),
        ("Half past eight.", Slot.NAME, "name", None),
        ("Goodbye.", Slot.NAME, "name", None),
    ],
)
def test_a_short_answer_is_understood_by_the_question(
    said: str, asked: Slot, field: str, value: object
) -> None:
    assert getattr(hear(said, asked), field) == value


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("What are your opening hours?", Intent.HOURS),
        ("When do you close on Sundays?", Intent.HOURS),
        ("Thank you. Goodbye.", Intent.THANKS),
        ("Bye bye.", Intent.GOODBYE),
        ("Please cancel that", Intent.CANCEL),
        ("Who am I speaking to?", Intent.WHO),
    ],
)
def test_what_is_wanted(said: str, intent: Intent) -> None:
    assert intent in hear(said).intents


def test_a_whole_call() -> None:
    call = [
        ("Hello.", "Hello! How can I help you?"),
        ("I need a table.", "A table, gladly. For how many people?"),
        ("Six.", "So that is a table for six. For which day, and at what time?"),
        ("On Friday.", "So that is a table for six on Friday. At what time?"),
        (
            "At eight in the evening.",
            "So that is a table for six on Friday at eight in the evening. "
            "What name shall I put it under?",
        ),
        (
            "Johnson.",
            "I have booked a table for six on Friday at eight in the evening for Johnson. "
            "Is there anything else?",
        ),
        (
            "Actually, make it five people.",
            "I have booked a table for five on Friday at eight in the evening for Johnson. "
            "Is there anything else?",
        ),
        (
            "Thank you, goodbye.",
            "You are welcome. I have booked a table for five on Friday at eight in the evening "
            "for Johnson. Goodbye!",
        ),
    ]
    said = [turn for turn, _ in call]
    answers = [answer(said[: i + 1], NOBODY) for i in range(len(said))]
    assert answers == [expected for _, expected in call]


def test_another_recognition_gives_another_answer() -> None:
    heard = ["A table for four.", "A table for forty.", "A label for floor.", "", "You"]
    assert len({answer([text], NOBODY) for text in heard}) == len(heard)


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_any_text_is_answered_with_something_to_say(turns: list[str]) -> None:
    assert answer(turns, NOBODY).strip()


@given(st.text(alphabet=st.characters(codec="ascii", categories=["Lu", "Ll"]), min_size=8))
def test_what_is_not_understood_is_quoted_back(noise: str) -> None:
    text = f"xx{noise}"
    assert text in answer([text], NOBODY)


def test_an_instruction_after_a_replacement_goes_on_with_the_booking() -> None:
    said = answer(["A table for four tomorrow."], NOBODY, "Apologise for the interruption, go on.")
    assert said == (
        "Sorry for the interruption. So far I have a table for four tomorrow. At what time?"
    )


def test_words_in_an_instruction_are_said_as_they_are() -> None:
    assert answer([], NOBODY, 'Say "Good evening, Luna speaking."') == (
        "Good evening, Luna speaking."
    )


def test_the_system_prompt_gives_name_place_and_hours() -> None:
    found = persona(
        "You are Luna, the host of Trattoria Bella Vista. You are open from 5 pm to 11 pm."
    )
    assert found == Persona("Luna", "Trattoria Bella Vista", "We are open from 5 pm to 11 pm.")
    assert persona("You are a helpful assistant.") == Persona(None, None, DEFAULT_HOURS)


TURNS = (
    '[{"role": "user", "text": "Hello."}, {"role": "user", "text": "A table for four."},'
    ' {"role": "assistant", "text": "What name?"}]'
)


@pytest.mark.parametrize(
    "content",
    [
        TURNS,
        f'{{"turns": {TURNS}}}',
        "user: Hello.\nUser: A table for four.\nassistant: What name?",
    ],
)
def test_a_transcript_is_read_in_every_common_shape(content: str) -> None:
    assert [(line.speaker, line.text) for line in read(content)] == [
        ("caller", "Hello."),
        ("caller", "A table for four."),
        ("agent", "What name?"),
    ]


def test_a_summary_quotes_the_substance_and_leaves_out_the_courtesies() -> None:
    call = (
        "Caller: Hello. I would like to book a table for four.\nAgent: Hello! For which day?\n"
        "Caller: Tomorrow evening at seven.\nAgent: You are welcome. Goodbye!\nCaller: Thank you."
    )
    assert summarise(call) == (
        "Caller: I would like to book a table for four. Agent: For which day? "
        "Caller: Tomorrow evening at seven."
    )


def test_a_summary_of_nothing_says_so() -> None:
    assert summarise("\n \n") == "Nothing was said."
