"""The summariser without an account: who asked for what, what was settled, how it ended."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from adapters.summarisers import ExtractiveSummariser
from adapters.summarisers.extractive import MAX_CHARS
from domain.transcripts.transcript import Role, Turn
from tests.adapters.mongo.examples import NOON, conversation, turn

RESTAURANT = conversation(
    "agent: Hello, this is the restaurant. How can I help you?",
    "caller: I would like to book a table for two.",
    "agent: For which day and time?",
    "caller: Tomorrow at seven in the evening, please.",
    "agent: May I have your name?",
    "caller: My name is Anna Miller.",
    "agent: Your table for two is booked for tomorrow at seven, under the name Miller.",
    "caller: Thank you. Goodbye.",
    "agent: Goodbye!",
)


async def summary(turns: list[Turn]) -> str:
    return await ExtractiveSummariser().summarise(turns)


async def test_a_booking_says_what_was_asked_what_was_settled_and_how_it_ended() -> None:
    assert await summary(RESTAURANT) == (
        "The caller's request: “I would like to book a table for two.”"
        " The agent answered: “Your table for two is booked for tomorrow at seven, under the name"
        " Miller.”"
        " Also said: the caller “Tomorrow at seven in the evening, please.”;"
        " the caller “My name is Anna Miller.”"
        " It ended with the agent saying: “Goodbye!”"
        " (4 utterances by the caller and 5 by the agent in 1 min 20 s.)"
    )


async def test_a_complaint_is_the_request_although_it_is_no_question() -> None:
    text = await summary(
        conversation(
            "agent: Hello, how can I help?",
            "caller: Hi. My internet is not working since yesterday.",
            "agent: I am sorry to hear that. Is the light on the router red?",
            "caller: Yes, it's red.",
            "agent: I have sent a technician for Monday at nine.",
            "caller: Great, thanks.",
        )
    )
    assert text.startswith("The caller's request: “My internet is not working since yesterday.”")
    assert "The agent answered: “I have sent a technician for Monday at nine.”" in text
    assert "sorry to hear" not in text
    assert "It ended with the caller saying: “Great, thanks.”" in text


async def test_the_order_of_arrival_does_not_matter() -> None:
    assert await summary(RESTAURANT[::-1]) == await summary(RESTAURANT)


async def test_a_call_in_another_language_is_quoted_all_the_same() -> None:
    text = await summary(
        conversation(
            "caller: Guten Tag, ich möchte einen Termin am Montag um zehn.",
            "agent: Gerne, Montag um zehn Uhr ist eingetragen.",
            "caller: Danke, auf Wiederhören.",
        )
    )
    assert "ich möchte einen Termin am Montag um zehn" in text
    assert "Montag um zehn Uhr ist eingetragen" in text


async def test_calls_in_which_one_side_or_nobody_speaks() -> None:
    nobody = "Nobody said anything in this call."
    assert await summary([]) == nobody
    assert await summary([turn(0).model_copy(update={"text": " \n "})]) == nobody
    assert (await summary(conversation("agent: Hello?"))).startswith("The caller said nothing.")
    assert await summary(conversation("caller: Hm.")) == (
        "The caller said: “Hm.” (1 utterance by the caller and 0 by the agent.)"
    )
    assert "utterance" in await summary(conversation("caller: …?!"))


async def test_an_interrupted_ending_says_so() -> None:
    turns = [*RESTAURANT[:6], turn(6, "Then I will", role=Role.ASSISTANT, interrupted=True)]
    assert "It ended with the agent saying (interrupted): “Then I will”" in await summary(turns)


async def test_the_length_of_the_call_is_from_the_first_word_to_the_last() -> None:
    turns = conversation("caller: Hello there.", "agent: Goodbye then.")
    turns[0].started_speaking_at = NOON - timedelta(seconds=2)
    turns[1].stopped_speaking_at = NOON + timedelta(seconds=123)
    assert "in 2 min 5 s" in await summary(turns)


texts = st.text(max_size=300) | st.sampled_from(
    ["I would like to book.", "It is booked!", "Can you help me?", "word " * 400]
)


@given(st.lists(st.tuples(st.sampled_from(Role), texts), max_size=30))
async def test_whatever_was_said_it_is_short_one_line_and_always_the_same(
    said: list[tuple[Role, str]],
) -> None:
    turns = [turn(number, text, role=role) for number, (role, text) in enumerate(said)]

    text = await summary(turns)

    assert 0 < len(text) <= MAX_CHARS
    assert "\n" not in text
    assert text == await summary(turns)
