"""The recorded lines, and how far what was heard is from what was said."""

import wave

import pytest

from stack.demo.lines import Line, read_lines, wrong_words


@pytest.mark.parametrize(
    ("said", "heard", "wrong"),
    [
        ("Tomorrow evening at seven, please.", "tomorrow evening at 7 please", 0),
        ("My name is Anna Miller.", "My name is Anna Millar", 1),
        ("My name is Anna Miller.", "My name is", 2),
        ("Thank you.", "Oh, thank you so much", 3),
        ("A table for four", "", 4),
    ],
)
def test_wrong_words_are_counted(said: str, heard: str, wrong: int) -> None:
    assert wrong_words(said, heard) == wrong


def test_the_demo_says_three_lines_that_name_what_an_answer_must_repeat() -> None:
    lines = read_lines()
    assert len(lines) == 3
    assert all(line.answer_contains and line.says for line in lines)
    for line in lines:
        with wave.open(str(line.recording), "rb") as recording:
            assert recording.getnframes() > 0


def test_what_an_answer_lacks_is_named_whatever_its_case() -> None:
    line: Line = read_lines()[1]
    assert line.missing_in("TOMORROW at seven in the Evening") == []
    assert line.missing_in("So that is tomorrow.") == ["seven in the evening"]
