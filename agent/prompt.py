"""Prompt and greeting with their dynamic variables filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.agent_config import DispatchedConfig

DEFAULT_PROMPT = (
    "You are a friendly voice assistant on a phone call."
    " Answer in one or two short sentences of plain text, without lists or markup."
)
UNPROMPTED_GREETING = "Greet the caller briefly and ask how you can help."

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")


@dataclass(frozen=True)
class Words:
    """What the agent is told and what it says first."""

    prompt: str
    greeting: str | None
    """None unless the agent speaks first with given words."""
    agent_speaks_first: bool
    missing: tuple[str, ...]
    """Variables that have neither a value nor a default; they are left out of the text."""


def words(config: DispatchedConfig) -> Words:
    """Fill the variables of a configuration into its prompt and greeting."""
    values = {**config.dynamic_variable_defaults, **config.dynamic_variables}
    start = config.conversation_start
    first = start is not None and start.who == "ai"
    prompt, missing = fill(config.prompt or DEFAULT_PROMPT, values)
    greeting, more = fill((start.greeting if start and first else None) or "", values)
    return Words(
        prompt=prompt,
        greeting=greeting or None,
        agent_speaks_first=first,
        missing=tuple(sorted({*missing, *more})),
    )


def fill(text: str, values: Mapping[str, str]) -> tuple[str, set[str]]:
    """Replace each `{{name}}` by its value; returns the text and the names without one."""
    missing: set[str] = set()

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            missing.add(name)
        return values.get(name, "")

    return _VARIABLE.sub(value, text), missing
