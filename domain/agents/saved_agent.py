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
"""A cursor of a list of agents: the id of the last agent on the page before."""


class AgentKey(NamedTuple):
    """What identifies a saved agent."""

    org: str
    agent_id: str


class SavedAgent(BaseModel):
    """One version of a saved agent; versions count from 1, and each save adds one."""

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
    """The earlier version that this one copies."""

    @property
    def key(self) -> AgentKey:
        """What identifies this agent."""
        return AgentKey(self.org, self.agent_id)


def new_agent_id(now: datetime) -> str:
    """A new id: 24 hexadecimal digits that sort by the time of creation, to the millisecond."""
    milliseconds = int(now.timestamp() * 1000)
    return f"{milliseconds:0{_TIME_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"


def check_cursor(cursor: str | None) -> str | None:
    """Return `cursor` if it is well-formed.

    Raises:
        InvalidInput: it is not.
    """
    if cursor is None or re.fullmatch(CURSOR_PATTERN, cursor):
        return cursor
    raise InvalidInput(
        "the cursor is not one of this list",
        field="cursor",
        cure="send the nextCursor of the page before, unchanged",
    )
