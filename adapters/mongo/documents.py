"""Conversion of models to documents, including values that BSON cannot hold.

Fields of a fixed type are stored as they are, so operators can read and query them. Free-form parts
(metrics, whole reports) are stored as JSON text. That keeps NUL and `$` in keys, lone surrogates,
NaN and integers beyond 64 bits exact, and leaves MongoDB nothing to interpret.
"""

import json
from datetime import datetime
from typing import Any, cast

import bson
from bson.errors import InvalidDocument
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from domain.errors import InvalidInput
from domain.ids import SessionKey

Document = dict[str, Any]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024 - 64 * 1024
"""MongoDB's limit, minus the overhead of an update command."""
MAX_DEPTH = 100
"""Deepest nesting of free-form parts; Python's own JSON reader fails near 1,000."""


def session_document_id(key: SessionKey) -> str:
    """`_id` of a document that a session has one of: `{org}/{session_id}`; ids have no slash."""
    return f"{key.org}/{key.session_id}"


def of_session(key: SessionKey) -> Document:
    """The filter for a session's documents."""
    return {"org": key.org, "session_id": key.session_id}


def storable(document: Document, what: str) -> Document:
    """Return `document` if MongoDB can store it.

    Raises:
        InvalidInput: it is too large, or has a value that BSON cannot hold.
    """
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
    """The model's fields as Python values.

    Raises:
        InvalidInput: it cannot be serialised.
    """
    try:
        return model.model_dump()
    except (PydanticSerializationError, ValueError, RecursionError):
        raise InvalidInput(f"{what} is nested too deeply to be stored") from None


def to_json(value: object, what: str) -> str:
    """`value` as JSON text, exact for everything that was received as JSON.

    Raises:
        InvalidInput: it is nested too deeply, or has a value that JSON cannot hold; names `what`.
    """
    _check_depth(value, what)
    try:
        return json.dumps(value, default=_plain, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput(f"{what} has a value that cannot be stored") from None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _check_depth(value: object, what: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise InvalidInput(
        f"{what} is nested too deeply to be stored", cure=f"nest it less than {MAX_DEPTH} levels"
    )


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast(dict[str, object], value).values())
    if isinstance(value, list | tuple):
        return list(cast(list[object], value))
    return []
