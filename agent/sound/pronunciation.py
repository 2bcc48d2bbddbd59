"""Pronunciation rules: words are replaced in what the voice says, not in the transcript."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping

from domain.agents.config import DispatchedConfig

TextTransform = Callable[[AsyncIterable[str]], AsyncIterable[str]]


def pronunciation(config: DispatchedConfig) -> TextTransform | None:
    """The transform of the configured rules; None if there are none or they are switched off."""
    rules = {word.strip(): spoken for word, spoken in config.pronunciation_rules.items()}
    rules.pop("", None)
    if not rules or config.pronunciation_correction is False:
        return None
    return _Replacement(rules).apply


class _Replacement:
    """Replaces whole words, ignoring case, in text that arrives in pieces.

    Text that may still become one of the words is held back until the next piece.
    """

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._spoken = {_folded(word): spoken for word, spoken in rules.items()}
        longest_first = sorted(self._spoken, key=len, reverse=True)
        words = "|".join(re.escape(word) for word in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
        self._longest = max(map(len, self._spoken))

    async def apply(self, text: AsyncIterable[str]) -> AsyncIterator[str]:
        before, held = "", ""
        async for piece in text:
            held += piece
            end = self._settled(before + held) - len(before)
            if end > 0:
                yield self._replaced(before, held[:end], after=held[end:])
                before, held = held[end - 1], held[end:]
        if held:
            yield self._replaced(before, held, after="")

    def _settled(self, text: str) -> int:
        """The start of a suffix that may still become a word, or is one whose end is unknown."""
        folded = _folded(text)
        for start in range(max(0, len(text) - self._longest), len(text)):
            if start > 0 and _is_word(text[start - 1]) and _is_word(text[start]):
                continue
            if any(word.startswith(folded[start:]) for word in self._spoken):
                return start
        return len(text)

    def _replaced(self, before: str, text: str, after: str) -> str:
        # The neighbouring characters decide whether a word at the edge is a whole one.
        whole = before + text + after[:1]
        parts: list[str] = []
        position, end = len(before), len(before) + len(text)
        for match in self._pattern.finditer(_folded(whole)):
            if match.start() < position or match.end() > end:
                continue
            parts += [whole[position : match.start()], self._spoken[match.group()]]
            position = match.end()
        return "".join([*parts, whole[position:end]])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _folded(text: str) -> str:
    """Fold case letter by letter: `lower` makes two letters of a Turkish `İ`."""
    folded = ((letter, letter.casefold()) for letter in text)
    return "".join(fold if len(fold) == 1 else letter.lower()[0] for letter, fold in folded)
