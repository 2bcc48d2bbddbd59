"""Agents as an org saves them: a configuration with its versions."""

import re
import secrets
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel

from domain.agents.config import AgentConfig
from domain.errors import InvalidInput
from domain.ids import Id

_TIME_DIGITS = 12
_RANDOM_BYTES = 6
CURSOR_PATTERN = f"^[0-9a-f]{{{_TIME_DIGITS + 2 * _RANDOM_BYTES}}}$"
"""A place in a list of agents: the id after which it goes on."""


class AgentKey(NamedTuple):
    """What identifies a saved agent: without the org there is no way to ask for one."""

    org: str
    agent_id: str


class SavedAgent(BaseModel):
    """One version of a saved agent; versions count from 1, each save adds one."""

    org: Id
    agent_id: Id
    version: int
    config: AgentConfig
    created_at: datetime
    created_by: str | None = None
    updated_at: datetime
    """When this version was saved."""
    updated_by: str | None = None
    restored_from: int | None = None
    """The earlier version that this one is a copy of."""

    @property
    def key(self) -> AgentKey:
        """What identifies this agent."""
        return AgentKey(self.org, self.agent_id)


def new_agent_id(now: datetime) -> str:
    """A new id: 24 hexadecimal digits that sort by the time of creation, to the millisecond."""
    milliseconds = int(now.timestamp() * 1000)
    return f"{milliseconds:0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"


def check_cursor(cursor: str | None) -> str | None:
    """The id after which a list of agents goes on.

    Raises:
        InvalidInput: it is not one that was given out.
    """
    if cursor is None or re.fullmatch(CURSOR_PATTERN, cursor):
        return cursor
    raise InvalidInput(
        "the cursor is not one of this list",
        field="cursor",
        cure="send the nextCursor of the page before, unchanged",
    )
