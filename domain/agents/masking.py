"""Masking of secrets: one walk over a model that finds every field marked `SECRET`.

What is shown masked can be sent back: a mask at the place of a secret means "as it is stored".
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from domain.errors import InvalidInput

MASK = "********"

Path = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_SECRET_NAMES = ("key", "secret", "token", "password", "authorization", "credential")
_IDENTIFYING = ("id", "name", "tool_id", "rag_id", "agent_id")
"""Fields by which an entry of a list is recognised although it was edited."""


def masked(model: BaseModel) -> dict[str, Any]:
    """Copy of `model` for JSON in which each set secret is `********`, without unset fields.

    A secret that is an object keeps its form; each value in it is masked.
    """
    return _Walk(lambda path, value: MASK).model(model, ())


def with_stored_secrets(given: Model, stored: Model | None) -> Model:
    """`given` with the secrets of `stored` in the places where it has masks.

    An entry of a list is the stored one if it is equal to it as shown, or has its id or name.

    Raises:
        InvalidInput: a mask at the place of a secret, and no stored secret that it stands for.
    """
    data = given.model_dump(exclude_unset=True)
    if stored is not None:
        data = _restored(data, masked(stored), stored.model_dump())
    result = type(given).model_validate(data)
    for path in _masks(result):
        raise InvalidInput(
            "the mask stands for no stored secret",
            field=".".join(map(str, path)),
            cure="send the secret itself, or leave the field out",
        )
    return result


def _masks(model: BaseModel) -> Iterator[Path]:
    found: list[Path] = []

    def note(path: Path, value: Any) -> Any:
        if value == MASK:
            found.append(path)
        return value

    _Walk(note).model(model, ())
    return iter(found)


def _restored(given: Any, shown: Any, known: Any) -> Any:
    """`given` with what is `known` wherever it has the mask that was `shown`."""
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


def _restored_entry(item: Any, place: int | None, shown: list[Any], known: list[Any]) -> Any:
    """An entry with the secrets of the stored one; of several that look alike, by its place."""
    alike = [i for i, one in enumerate(shown) if one == item]
    alike = alike or [i for i, one in enumerate(shown) if _same_entry(one, item)]
    if place in alike:
        alike = [place]
    # Still several: a guess could send one service's key to another.
    if len(alike) != 1:
        return item
    return _restored(item, shown[alike[0]], known[alike[0]])


def _same_entry(one: Any, other: Any) -> bool:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    left, right = cast(dict[str, Any], one), cast(dict[str, Any], other)
    common = [name for name in _IDENTIFYING if name in left and name in right]
    return bool(common) and all(left[name] == right[name] for name in common)


class _Walk:
    """A copy of a model in which each secret is what `on_secret` makes of it."""

    def __init__(self, on_secret: Callable[[Path, Any], Any]) -> None:
        self._on_secret = on_secret

    def model(self, model: BaseModel, path: Path) -> dict[str, Any]:
        """Walk over a model: markers decide; in its free-form part, where there are none, names."""
        shown: dict[str, Any] = {}
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if value is None:
                continue
            extra = field.json_schema_extra
            secret = isinstance(extra, dict) and "secret" in extra
            inside = (*path, name)
            shown[name] = self._secret(value, inside) if secret else self._value(value, inside)
        for name, value in (model.model_extra or {}).items():
            shown[name] = self._named(name, value, path)
        return shown

    def _named(self, name: str, value: Any, path: Path) -> Any:
        secret = any(part in name.lower() for part in _SECRET_NAMES)
        inside = (*path, name)
        return self._secret(value, inside) if secret else self._value(value, inside)

    def _secret(self, value: Any, path: Path) -> Any:
        if value is None:
            return None
        if isinstance(value, dict):
            pairs = cast(dict[str, Any], value)
            return {name: self._secret(item, (*path, name)) for name, item in pairs.items()}
        if isinstance(value, list | tuple):
            items = cast(list[Any], value)
            return [self._secret(item, (*path, i)) for i, item in enumerate(items)]
        return self._on_secret(path, value)

    def _value(self, value: Any, path: Path) -> Any:
        if isinstance(value, BaseModel):
            return self.model(value, path)
        if isinstance(value, dict):
            pairs = cast(dict[str, Any], value)
            return {name: self._named(name, item, path) for name, item in pairs.items()}
        if isinstance(value, list | tuple):
            items = cast(list[Any], value)
            return [self._value(item, (*path, i)) for i, item in enumerate(items)]
        return value
