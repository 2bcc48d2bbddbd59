"""Prompt and greeting with their dynamic variables filled in."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from domain.agents.config import DispatchedConfig
from domain.agents.variables import fill

log = structlog.stdlib.get_logger(__name__)

DEFAULT_PROMPT = (
    "You are a friendly voice assistant on a phone call."
    " Answer in one or two short sentences of plain text, without lists or markup."
)
UNPROMPTED_GREETING = "Greet the caller briefly and ask how you can help."
NUDGE = "The caller has said nothing for a while. Ask in one short sentence whether they are there."
RECOVERY = (
    "The connection to the caller was lost for a moment, and so may be what they said last."
    " Apologise in one short sentence, and ask them to say it again."
)
TIME_WARNING = "Tell the caller in one short sentence that the time of this call is nearly over."


@dataclass(frozen=True)
class Words:
    """The agent's prompt and its first words."""

    prompt: str
    greeting: str | None
    """None unless the agent speaks first with given words."""
    agent_speaks_first: bool
    missing: tuple[str, ...]
    """Variables without a value or a default; they are left out of the text."""
    values: Mapping[str, str]
    """The variables, with their defaults."""

    def fill(self, text: str | None) -> str | None:
        """A text with the variables filled in; None if it is empty."""
        return fill(text, self.values)[0].strip() or None if text else None


def words(config: DispatchedConfig) -> Words:
    """Fill the variables of a configuration into its prompt and greeting."""
    values = {**config.dynamic_variable_defaults, **config.dynamic_variables}
    start = config.conversation_start
    first = start is not None and start.who == "ai"
    prompt, missing = fill(config.prompt or DEFAULT_PROMPT, values)
    greeting, more = fill((start.greeting if start and first else None) or "", values)
    missing = tuple(sorted({*missing, *more}))
    if missing:
        log.warning("dynamic_variables_missing", variables=list(missing))
    return Words(
        prompt=prompt,
        greeting=greeting or None,
        agent_speaks_first=first,
        missing=missing,
        values=values,
    )
