"""Masking of secrets: one walk over a model that replaces every field marked `SECRET`."""

from typing import Any, cast

from pydantic import BaseModel

MASK = "********"


def masked(model: BaseModel) -> dict[str, Any]:
    """Copy of `model` for JSON in which each set secret is `********`, without unset fields."""
    return _masked(model)


def _masked(model: BaseModel) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is None:
            continue
        extra = field.json_schema_extra
        secret = isinstance(extra, dict) and "secret" in extra
        shown[name] = MASK if secret else _shown(value)
    for name, value in (model.model_extra or {}).items():
        shown[name] = _mask_if_named_secret(name, value)
    return shown


_SECRET_NAMES = ("key", "secret", "token", "password", "authorization", "credential")


def _mask_if_named_secret(name: str, value: Any) -> Any:
    """Free-form parts have no markers: there the name decides."""
    if any(part in name.lower() for part in _SECRET_NAMES) and value is not None:
        return MASK
    return _shown(value)


def _shown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _masked(value)
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value)
        return {name: _mask_if_named_secret(name, item) for name, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in cast(list[Any], value)]
    return value
