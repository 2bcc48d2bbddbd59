"""Models that come as JSON, whose values have JSON's types; and times as text."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ValidationInfo,
    field_validator,
)

_NUMBERS = (int, float)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = "a time as in RFC 3339, such as 2030-01-31T08:00:00Z"


def _written_out(value: Any) -> Any:
    """Pydantic also takes seconds since 1970, as a number or as text."""
    if isinstance(value, str | int | float) and not _DATE.match(str(value)):
        raise ValueError(f"must be {_TIME}")
    return value


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


Time = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""A time with its zone, written as in RFC 3339."""


class JsonModel(BaseModel):
    """Base of request bodies: a value of another JSON type is refused, not converted.

    Pydantic would take "yes" for true and "7.5" for a number; the OpenAPI document says that they
    are not, and a client that sends them has a mistake that would be found much later.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and not is_unicode(value):
            raise ValueError("must be valid Unicode")
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(annotation) or (annotation,)
        wanted = _wanted(kinds)
        if wanted and not _fits(value, kinds):
            raise ValueError(f"must be {wanted}")
        return value


def is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON can also name the half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def writable(value: object) -> object:
    """What is not a text as it is; a text with what `is_unicode` finds replaced by `?`.

    For what agents send: nothing that was said may be lost because of it.
    """
    return writable_text(value) if isinstance(value, str) else value


def writable_text(text: str) -> str:
    """A text with what `is_unicode` finds replaced by `?`."""
    return text.encode(errors="replace").decode()


def _wanted(kinds: tuple[Any, ...]) -> str | None:
    """What the field has to be, if it is of a kind that pydantic makes of others."""
    if bool in kinds:
        return "true or false"
    if int in kinds or float in kinds:
        return "a number"
    return None


def _fits(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether it is of one of the kinds; what is not a simple value is pydantic's to judge."""
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, _NUMBERS):
        return any(kind in kinds for kind in _NUMBERS)
    if isinstance(value, str):
        return str in kinds
    return True
