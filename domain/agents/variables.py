"""Dynamic variables: `{{name}}` in a text, filled when a call starts or a tool is called."""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")
_ANYTHING = re.compile(r"\{\{\s*([^\s{}](?:[^{}\n]{0,98}[^\s{}])?)\s*\}\}")
"""A variable if there is a value with that name, such as "first name" or "Größe". Otherwise it may
be anything, for instance an example in a prompt."""


def fill(text: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Replace each `{{name}}` by its value; returns the text and the names without a value.

    A name without a value is removed from the text. Values themselves are not filled.
    """
    missing: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in values:
            return values[name]
        if not _VARIABLE.fullmatch(match.group()):
            return match.group()
        missing.add(name)
        return ""

    return _ANYTHING.sub(value, text), missing


def variables_in(text: str) -> set[str]:
    """The names of the variables in a text."""
    return set(_VARIABLE.findall(text))


def only_variable(text: str) -> str | None:
    """The name of the variable if the text is nothing else; otherwise None."""
    match = _VARIABLE.fullmatch(text.strip())
    return match.group(1) if match else None
