"""What all parts of an agent's configuration are made of."""

import math
from typing import Any, cast

from pydantic import ConfigDict, ValidationInfo, model_validator

from domain.json_model import JsonModel, from_another_version, is_unicode

SECRET: dict[str, Any] = {"secret": True}
"""Marks a field whose value is masked in every response and left out of every log."""
MAX_DEPTH = 96
"""How deep a configuration may be nested: MongoDB stops at 100, readers of JSON soon after."""


class ConfigModel(JsonModel):
    """Base of all configuration parts: unknown fields are refused, so that a typo is not silent."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_passed_on(cls, value: Any, info: ValidationInfo) -> Any:
        """Free-form parts hold what Python's reader of JSON takes, which is more than others do.

        What the API accepted and the worker cannot read would be a session that never ends.
        """
        _check_json(value)
        if from_another_version(info) and cls.model_config.get("extra") == "forbid":
            return cls._without_unknown(value)
        return value

    @classmethod
    def _without_unknown(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = cast(dict[str, Any], value)
        return {name: item for name, item in fields.items() if name in cls.model_fields}


def _check_json(whole: Any) -> None:
    """Check that a value can be written as JSON, and read by everybody.

    Raises:
        ValueError: saying what, and where.
    """
    left: list[tuple[tuple[str, ...], Any]] = [((), whole)]
    while left:
        path, value = left.pop()
        if len(path) > MAX_DEPTH:
            raise ValueError(f"must not be nested deeper than {MAX_DEPTH}")
        if isinstance(value, dict):
            pairs = cast(dict[Any, Any], value)
            left += [((*path, str(name)), item) for name, item in pairs.items()]
            left += [(path, name) for name in pairs]
        elif isinstance(value, list | tuple):
            items = cast(list[Any], value)
            left += [((*path, str(index)), item) for index, item in enumerate(items)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"must hold numbers that JSON has{_at(path)}")
        elif isinstance(value, str) and not is_unicode(value):
            raise ValueError(f"must hold valid Unicode{_at(path)}")


def _at(path: tuple[str, ...]) -> str:
    where = ".".join(path).encode(errors="replace").decode()
    return f", at {where[:200]}" if path else ""
