"""Dynamic variables: `{{name}}` in a text, filled when a call starts or a tool is called."""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")


def fill(text: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Replace each `{{name}}` by its value; returns the text and the names without one.

    A name without a value leaves nothing behind. Values are not filled again.
    """
    missing: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            missing.add(name)
        return values.get(name, "")

    return _VARIABLE.sub(value, text), missing


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text has."""
    return set(_VARIABLE.findall(text))


def only_variable(text: str) -> str | None:
    """The name of the variable that is the whole text; None if there is more or nothing."""
    match = _VARIABLE.fullmatch(text.strip())
    return match.group(1) if match else None
