"""A configuration for logs: which parts are set and how large they are, never their text.

A field is described by its type alone, so a new field needs no entry here.
"""

from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

from domain.agents.config_base import SECRET

_SHOWN = frozenset(
    {"engine", "tools", "agent_id", "turn_detection", "who", "type", "provider", "rag_id"}
)
"""Fields logged with their values, which say nothing about a caller or an account."""


def config_summary(config: BaseModel) -> dict[str, Any]:
    """What is set in a configuration, or in a part of one, for a log entry."""
    described: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if value is None or value in ([], {}):
            continue
        if field.json_schema_extra == SECRET:
            described[name] = "set"
        elif name in _SHOWN and isinstance(value, BaseModel):
            described[name] = value.model_dump(mode="json", exclude_none=True)
        else:
            described[name] = value if name in _SHOWN else _described(value)
    if config.model_extra:
        described["further_fields"] = len(config.model_extra)
    return described


def _described(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return config_summary(value)
    if isinstance(value, bool | int | float | Enum):
        return value
    if isinstance(value, str):
        return f"{len(value)} characters"
    if isinstance(value, list | dict):
        return f"{len(cast(list[Any], value))} entries"
    return "set"
