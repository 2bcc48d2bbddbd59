"""Masking of the secrets of a model: its fields that are marked `SECRET`.

Masked output can be sent back: a mask in place of a secret means "keep the stored one".
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from domain.agents.config_base import SECRET
from domain.errors import InvalidInput

MASK = "********"

Path = tuple[str | int, ...]
OnSecret = Callable[[Path, Any], Any]
Model = TypeVar("Model", bound=BaseModel)

_SECRET_NAMES = ("key", "secret", "token", "password", "authorization", "credential")
_IDENTIFYING = ("id", "name", "tool_id", "rag_id", "agent_id")
"""Fields by which an edited list entry is recognised."""


def masked(model: BaseModel) -> dict[str, Any]:
    """Copy of `model` for JSON without nulls, in which each secret is `********`.

    A secret that is an object keeps its keys; each value in it is masked.
    """
    return _walk(model, lambda path, value: MASK)


def with_stored_secrets(given: Model, stored: Model | None) -> Model:
    """`given` with its masks replaced by the secrets of `stored`.

    A list entry is matched with the stored one that is shown the same, or has its id or name.

    Raises:
        InvalidInput: a mask that stands for no stored secret.
    """
    data = given.model_dump(exclude_unset=True)
    if stored is not None:
        data = _restored(data, masked(stored), stored.model_dump())
    result = type(given).model_validate(data)
    _walk(result, _refuse_mask)
    return result


def _refuse_mask(path: Path, value: Any) -> None:
    if value == MASK:
        raise InvalidInput(
            "the mask stands for no stored secret",
            field=".".join(map(str, path)),
            cure="send the secret itself, or leave the field out",
        )


def _restored(given: Any, shown: Any, known: Any) -> Any:
    """`given` with the `known` value wherever it has a mask that was `shown`."""
    if given == MASK and shown == MASK:
        return known
    if isinstance(given, dict) and isinstance(shown, dict):
        pairs, shown_pairs = cast(dict[str, Any], given), cast(dict[str, Any], shown)
        return {
            name: _restored(value, shown_pairs[name], known[name]) if name in shown_pairs else value
            for name, value in pairs.items()
        }
    if isinstance(given, list) and isinstance(shown, list):
        items, shown_items = cast(list[Any], given), cast(list[Any], shown)
        same_length = len(items) == len(shown_items)
        return [
            _restored_entry(item, i if same_length else None, shown_items, known)
            for i, item in enumerate(items)
        ]
    return cast(object, given)


def _restored_entry(item: Any, index: int | None, shown: list[Any], known: list[Any]) -> Any:
    """An entry with the secrets of the stored one; of several candidates, the one at its index."""
    alike = [i for i, one in enumerate(shown) if one == item]
    alike = alike or [i for i, one in enumerate(shown) if _same_entry(one, item)]
    if index in alike:
        alike = [index]
    # Several candidates: a guess could send one service's key to another.
    if len(alike) != 1:
        return item
    return _restored(item, shown[alike[0]], known[alike[0]])


def _same_entry(one: Any, other: Any) -> bool:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    left, right = cast(dict[str, Any], one), cast(dict[str, Any], other)
    common = [name for name in _IDENTIFYING if name in left and name in right]
    return bool(common) and all(left[name] == right[name] for name in common)


def _walk(value: Any, on_secret: OnSecret, path: Path = (), *, secret: bool = False) -> Any:
    """A copy of `value` in which each secret is what `on_secret` makes of it."""
    if isinstance(value, list | tuple):
        items = cast(list[Any], value)
        return [_walk(one, on_secret, (*path, i), secret=secret) for i, one in enumerate(items)]
    fields: dict[str, FieldInfo] = {}
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        named = {name: getattr(value, name) for name in fields}
        pairs = {name: one for name, one in named.items() if one is not None}
        pairs |= value.model_extra or {}
    elif isinstance(value, dict):
        pairs = cast(dict[str, Any], value)
    else:
        return on_secret(path, value) if secret and value is not None else value
    return {
        name: _walk(
            one, on_secret, (*path, name), secret=secret or _is_secret(name, fields.get(name))
        )
        for name, one in pairs.items()
    }


def _is_secret(name: str, field: FieldInfo | None) -> bool:
    """Markers decide in a model's fields; in free-form parts, which have none, names do."""
    if field:
        return field.json_schema_extra == SECRET
    return any(part in name.lower() for part in _SECRET_NAMES)
