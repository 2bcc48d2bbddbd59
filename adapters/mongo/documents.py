"""Conversion of models to documents, including values that BSON cannot hold.

Fields of a fixed type are stored as they are, so operators can read and query them. Free-form parts
(metrics, whole reports) are stored as JSON text. That keeps NUL and `$` in keys, lone surrogates,
NaN and integers beyond 64 bits exact, and leaves MongoDB nothing to interpret.
"""

import json
import random
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

import bson
from bson.errors import InvalidDocument
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from domain.errors import InvalidInput

Document = dict[str, Any]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024 - 64 * 1024
"""MongoDB's limit, minus the overhead of an update command."""
MAX_DEPTH = 100
"""Deepest nesting of free-form parts; Python's own JSON reader fails near 1,000."""
_CHOICE = 1_000
"""How many numbers `free_number` chooses from."""


def document_id(*parts: str | int) -> str:
    """An `_id`: the org, then further ids; none of them has a slash but the last."""
    return "/".join(map(str, parts))


def free_number(taken: set[int], limit: int) -> int:
    """A random number below `limit` that is not taken, where fewer than `limit` are.

    Random, so that concurrent writers seldom choose the same one; of many, one of the lowest.
    """
    few = range(min(limit, len(taken) + _CHOICE))
    return random.choice([number for number in few if number not in taken])


def storable(document: Document, what: str) -> Document:
    """Return `document`; `InvalidInput` if it is too large, or BSON cannot hold a value of it."""
    try:
        size = len(bson.encode(document))
    except (InvalidDocument, OverflowError, UnicodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, OverflowError) else type(error).__name__
        raise InvalidInput(f"{what} has a value that cannot be stored ({reason})") from None
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidInput(
            f"{what} is too large to be stored: {size} bytes", cure="send less than 16 MB at once"
        )
    return document


def dump(model: BaseModel, what: str) -> Document:
    """The model's fields as Python values; `InvalidInput` if it cannot be serialised."""
    try:
        return model.model_dump()
    except (PydanticSerializationError, ValueError, RecursionError):
        raise InvalidInput(f"{what} is nested too deeply to be stored") from None


def document_of(model: BaseModel, what: str, name: str, /, **more: object) -> Document:
    """A model's document with more fields; `InvalidInput` if it is not `storable`."""
    return storable({"_id": name, **dump(model, what), **more}, what)


def to_json(value: object, what: str) -> str:
    """`value` as JSON text, exact for everything that was received as JSON.

    Raises:
        InvalidInput: it is nested too deeply, or has a value that JSON cannot hold; names `what`.
    """
    if _is_deeper(value, MAX_DEPTH):
        raise InvalidInput(
            f"{what} is nested too deeply to be stored",
            cure=f"nest it less than {MAX_DEPTH} levels",
        )
    try:
        return json.dumps(value, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput(f"{what} has a value that cannot be stored") from None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _is_deeper(value: object, levels: int) -> bool:
    """Whether a value has more than `levels` levels of nesting, itself included."""
    if not levels or not isinstance(value, dict | list | tuple):
        return not levels
    parts = cast(Iterable[object], value.values() if isinstance(value, dict) else value)
    return any(_is_deeper(part, levels - 1) for part in parts)
