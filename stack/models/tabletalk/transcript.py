"""Extractive summaries: the sentences of a transcript that carry most of what was said."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

_CALLER = {"user", "caller", "customer", "human", "guest"}
_AGENT = {"assistant", "agent", "bot", "ai"}
_LABELLED = re.compile(rf"(?i)^\W*({'|'.join(_CALLER | _AGENT)})\b\W*[:\-]\s*(.+)$")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_WORD = re.compile(r"[a-z0-9']+")
_FIGURE = re.compile(
    r"(?i)\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|tomorrow|\w+day)\b"
)
_FUNCTION_WORD = re.compile(
    r"(a|about|all|an|and|any|are|as|at|be|been|but|by|can|could|did|do|does|for|from|had|has|have"
    r"|how|i|if|in|is|it|its|just|me|my|no|not|of|on|or|our|please|shall|so|that|the|then|there"
    r"|they|this|to|was|we|were|what|when|which|will|with|would|yes|you|your)"
)
_PLEASANTRIES = re.compile(
    r"(?i)^\W*(hello|hi|hey|thank|thanks|you are welcome|good ?bye|bye|good)\b"
)
_MAX_SENTENCES = 4


@dataclass(frozen=True)
class Line:
    """One utterance; `speaker` is "caller", "agent" or empty when the transcript does not say."""

    speaker: str
    text: str


def read(content: str) -> list[Line]:
    """The utterances of a transcript given as labelled lines, as JSON or as plain text."""
    lines = list(_from_json(content))
    if lines:
        return lines
    for raw in content.splitlines():
        if match := _LABELLED.match(raw):
            lines.append(Line(_speaker(match[1]), match[2].strip()))
        elif raw.strip():
            lines.append(Line("", raw.strip()))
    return lines


def names_speakers(content: str) -> bool:
    """Whether `content` has at least one utterance that names its speaker."""
    return any(line.speaker for line in read(content))


def _from_json(content: str) -> Iterator[Line]:
    try:
        value: object = json.loads(content)
    except ValueError:
        return  # not JSON: the caller reads it as lines
    if isinstance(value, Mapping):
        mapping = cast(Mapping[str, object], value)
        value = mapping.get("turns") or mapping.get("transcript") or mapping.get("messages")
    if not isinstance(value, Sequence) or isinstance(value, str):
        return
    for item in cast(Sequence[object], value):
        if isinstance(item, Mapping):
            turn = cast(Mapping[str, object], item)
            text = turn.get("text") or turn.get("content")
            if isinstance(text, str) and text.strip():
                role = turn.get("role") or turn.get("speaker")
                yield Line(_speaker(role if isinstance(role, str) else ""), text.strip())


def _speaker(label: str) -> str:
    label = label.lower()
    return "caller" if label in _CALLER else "agent" if label in _AGENT else ""


def summarise(content: str) -> str:
    """Up to four of the transcript's own sentences, in their order, with who said them.

    Sentences are ranked by how often their content words occur in the whole transcript; what the
    caller said, and what holds a figure or a day, counts more.
    """
    sentences = [
        Line(line.speaker, sentence.strip())
        for line in read(content)
        for sentence in _SENTENCE.findall(line.text)
        if sentence.strip()
    ]
    substance = [s for s in sentences if not _PLEASANTRIES.match(s.text) or _FIGURE.search(s.text)]
    if not sentences:
        return "Nothing was said."
    candidates = substance or sentences
    weights = Counter(word for line in candidates for word in _content_words(line.text))
    scores = [_score(line, weights) for line in candidates]
    ranked = sorted(range(len(candidates)), key=scores.__getitem__, reverse=True)
    best = [candidates[i] for i in sorted(ranked[:_MAX_SENTENCES])]
    return " ".join(
        (f"{speaker.title()}: " if speaker else "") + " ".join(line.text for line in lines)
        for speaker, lines in groupby(best, key=lambda line: line.speaker)
    )


def _content_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if not _FUNCTION_WORD.fullmatch(word)]


def _score(line: Line, weights: Counter[str]) -> float:
    found = _content_words(line.text)
    if not found:
        return 0.0
    score = sum(weights[word] for word in set(found)) / (len(found) + 2)
    if line.speaker == "caller":
        score *= 1.5
    return score * 1.5 if _FIGURE.search(line.text) else score
