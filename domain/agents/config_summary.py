"""A configuration as logs may show it: which parts are set and how large, never a text of it.

Everything is described by its type alone, so a new field is logged safely without being named here.
"""

from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

from domain.agents.config import AgentConfig

_SHOWN = frozenset(
    {"engine", "tools", "agent_id", "turn_detection", "who", "type", "provider", "rag_id"}
)
"""Fields whose values are names of things, and say nothing about a caller or an account."""


def config_summary(config: AgentConfig) -> dict[str, Any]:
    """What is set in a configuration, for a log entry."""
    return _model(config)


def _model(model: BaseModel) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is None or value in ([], {}):
            continue
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "secret" in extra:
            described[name] = "set"
        elif name in _SHOWN:
            described[name] = _shown(value)
        else:
            described[name] = _described(value)
    if model.model_extra:
        described["further_fields"] = len(model.model_extra)
    return described


def _shown(value: Any) -> Any:
    return (
        value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value
    )


def _described(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _model(value)
    if isinstance(value, bool | int | float | Enum):
        return value
    if isinstance(value, str):
        return f"{len(value)} characters"
    if isinstance(value, list | dict):
        return f"{len(cast(list[Any], value))} entries"
    return "set"
