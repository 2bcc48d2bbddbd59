"""What a customer attaches to a session: returned with it everywhere, and lists filter by it."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from domain.ids import Id
from domain.json_model import is_unicode

MAX_KEYS = 16
MAX_BYTES = 4 * 1024
"""UTF-8 bytes of all keys and values together."""


def _text(value: str) -> str:
    if is_unicode(value):
        return value
    raise PydanticCustomError(
        "metadata_text", "must be valid Unicode", {"cure": "send text without lone surrogates"}
    )


def _within_limits(metadata: dict[str, str]) -> dict[str, str]:
    if len(metadata) > MAX_KEYS:
        raise PydanticCustomError(
            "metadata_keys",
            "has {count} keys; the limit is {limit}",
            {"count": len(metadata), "limit": MAX_KEYS, "cure": f"send up to {MAX_KEYS} keys"},
        )
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if size > MAX_BYTES:
        raise PydanticCustomError(
            "metadata_bytes",
            "has {count} bytes; the limit is {limit}",
            {
                "count": size,
                "limit": MAX_BYTES,
                "cure": "keep the rest in your own database, and send its id",
            },
        )
    return metadata


GivenMetadata = Annotated[
    dict[Id, Annotated[str, AfterValidator(_text)]],
    AfterValidator(_within_limits),
    Field(
        json_schema_extra={"maxProperties": MAX_KEYS},
        description=f"your own data: up to {MAX_KEYS} keys with strings, {MAX_BYTES} bytes in all",
    ),
]
"""Metadata from a client. Stored metadata is read as it is."""


def metadata_pairs(metadata: dict[str, str]) -> list[str]:
    """Each entry as one text, by which stored sessions are found; a key has no `=`."""
    return [f"{key}={value}" for key, value in metadata.items()]
