"""A summary without any account: the call's most informative sentences, quoted in a fixed frame."""

from collections.abc import Sequence
from datetime import timedelta

from typing_extensions import override

from adapters.summarisers.sentences import Sentence, sentences_of
from domain.transcripts.ports import Summariser
from domain.transcripts.transcript import Role, Turn, ordered

MAX_CHARS = 1_200
_MAX_QUOTE_CHARS = 180
_MAX_POINTS = 3

_SPEAKER = {Role.USER: "the caller", Role.ASSISTANT: "the agent"}


class ExtractiveSummariser(Summariser):
    """Summaries in pure Python: the same turns always give the same summary.

    They state the request, what was agreed, further points, how the call ended, and how long it
    was, in at most `MAX_CHARS` characters. They only quote, so nothing can be invented or injected.
    The prompt is ignored.
    """

    @property
    @override
    def name(self) -> str:
        return "extractive"

    @override
    async def summarise(self, turns: Sequence[Turn], prompt: str | None = None) -> str:
        spoken = [turn for turn in ordered(turns) if turn.text.strip()]
        if not spoken:
            return "Nobody said anything in this call."
        closing = _counts(spoken)
        room = MAX_CHARS - len(closing) - 1
        chosen: list[str] = []
        for part in _parts(sentences_of(spoken), spoken[-1]):
            room -= len(part) + 1
            if room < 0:
                break
            chosen.append(part)
        return " ".join([*chosen, closing])


def _parts(sentences: list[Sentence], last_turn: Turn) -> list[str]:
    request = _request(sentences)
    agreement = _agreement(sentences, request)
    told = [sentence for sentence in (request, agreement) if sentence is not None]
    ending = sentences[-1] if sentences and sentences[-1] not in told else None
    points = _points(sentences, [*told, *([ending] if ending else [])])
    parts: list[str] = []
    if request is None:
        parts.append("The caller said nothing.")
    else:
        lead = "The caller's request" if request.asks else "The caller said"
        parts.append(f"{lead}: {_quote(request)}")
    if agreement is not None:
        parts.append(f"The agent answered: {_quote(agreement)}")
    if points:
        said = "; ".join(f"{_SPEAKER[point.role]} {_quote(point)}" for point in points)
        parts.append(f"Also said: {said}")
    if ending is not None:
        cut = " (interrupted)" if last_turn.interrupted else ""
        parts.append(f"It ended with {_SPEAKER[ending.role]} saying{cut}: {_quote(ending)}")
    return parts


def _request(sentences: list[Sentence]) -> Sentence | None:
    """What the caller wants: preferably a request, and early."""
    callers = [sentence for sentence in sentences if sentence.role is Role.USER]
    return max(
        callers,
        key=lambda sentence: (
            sentence.weight + 3.0 * sentence.asks - 4.0 * sentence.place,
            -sentence.index,
        ),
        default=None,
    )


def _agreement(sentences: list[Sentence], request: Sentence | None) -> Sentence | None:
    """What the agent agreed to: a statement after the request, preferably late."""
    after = request.index if request else -1
    answers = [
        sentence
        for sentence in sentences
        if sentence.role is Role.ASSISTANT
        and sentence.index > after
        and sentence.agrees
        and not sentence.is_question
        and sentence.weight > 0
    ]
    return max(
        answers,
        key=lambda sentence: (sentence.weight + 2.0 * sentence.place, -sentence.index),
        default=None,
    )


def _points(sentences: list[Sentence], told: list[Sentence]) -> list[Sentence]:
    """The most informative of the rest, in call order and without repetitions.

    The agent's questions count less than statements.
    """

    def telling(sentence: Sentence) -> float:
        asked = sentence.role is Role.ASSISTANT and sentence.is_question
        return sentence.weight * (0.5 if asked else 1.0)

    seen = {sentence.text.lower() for sentence in told}
    best: list[Sentence] = []
    for sentence in sorted(sentences, key=lambda one: (-telling(one), one.index)):
        if len(best) == _MAX_POINTS or telling(sentence) < 1.0:
            break
        if sentence.text.lower() not in seen:
            seen.add(sentence.text.lower())
            best.append(sentence)
    return sorted(best, key=lambda sentence: sentence.index)


def _quote(sentence: Sentence) -> str:
    text = sentence.text
    if len(text) > _MAX_QUOTE_CHARS:
        text = text[: _MAX_QUOTE_CHARS - 1].rsplit(" ", 1)[0] + "…"
    return f"“{text}”"


def _counts(turns: list[Turn]) -> str:
    caller = sum(turn.role is Role.USER for turn in turns)
    agent = len(turns) - caller
    first, last = turns[0], turns[-1]
    began = first.started_speaking_at or first.created_at
    ended = last.stopped_speaking_at or last.created_at
    length = _length(ended - began)
    return f"({_utterances(caller)} by the caller and {agent} by the agent{length}.)"


def _utterances(count: int) -> str:
    return f"{count} utterance{'' if count == 1 else 's'}"


def _length(duration: timedelta) -> str:
    seconds = round(duration.total_seconds())
    if seconds <= 0:
        return ""
    minutes, rest = divmod(seconds, 60)
    return f" in {minutes} min {rest} s" if minutes else f" in {seconds} s"
