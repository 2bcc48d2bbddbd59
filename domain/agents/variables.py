"""Dynamic variables: `{{name}}` in a text, filled when a call starts or a tool is called."""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")
_ANYTHING = re.compile(r"\{\{\s*([^\s{}](?:[^{}\n]{0,98}[^\s{}])?)\s*\}\}")
"""What is a variable if there is a value of that name, such as "first name" or "Größe"; without one
it may be anything, an example in a prompt for instance."""


def fill(text: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Replace each `{{name}}` by its value; returns the text and the names without one.

    A name without a value leaves nothing behind. Values are not filled again.
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
    """The names of the variables that a text has."""
    return set(_VARIABLE.findall(text))


def only_variable(text: str) -> str | None:
    """The name of the variable that is the whole text; None if there is more or nothing."""
    match = _VARIABLE.fullmatch(text.strip())
    return match.group(1) if match else None
