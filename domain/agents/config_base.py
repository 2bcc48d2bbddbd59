"""The base of all parts of an agent's configuration."""

import math
from typing import Any, cast

from pydantic import ConfigDict, ValidationInfo, model_validator

from domain.json_model import JsonModel, from_another_version, is_unicode

SECRET: dict[str, Any] = {"secret": True}
"""Marks a field whose value is masked in responses and left out of logs."""
MAX_DEPTH = 96
"""Levels of nesting in a configuration. MongoDB's limit is 100, and JSON parsers have others."""


class ConfigModel(JsonModel):
    """Base of all configuration parts: unknown fields are refused, so that typos are noticed."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_passed_on(cls, value: Any, info: ValidationInfo) -> Any:
        """Check the free-form parts: Python's JSON parser accepts more than other parsers do.

        If the API accepted what the worker cannot read, the session would never end.
        """
        _check_json(value)
        forbids = cls.model_config.get("extra") == "forbid"
        if forbids and from_another_version(info) and isinstance(value, dict):
            fields = cast(dict[str, Any], value)
            return {name: item for name, item in fields.items() if name in cls.model_fields}
        return value


def _check_json(whole: Any) -> None:
    """Check that a value can be written as JSON that every parser reads.

    Raises:
        ValueError: saying what is wrong, and where.
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
