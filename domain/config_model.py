"""What all parts of an agent's configuration are made of."""

from typing import Any

from pydantic import ConfigDict

from domain.json_model import JsonModel

SECRET: dict[str, Any] = {"secret": True}
"""Marks a field whose value is masked in every response and left out of every log."""


class ConfigModel(JsonModel):
    """Base of all configuration parts: unknown fields are refused, so that a typo is not silent."""

    model_config = ConfigDict(extra="forbid")
