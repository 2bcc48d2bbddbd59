"""Models that come as JSON, whose values have JSON's types; and times as text."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, TypeVar, cast, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
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

FROM_ANOTHER_VERSION: dict[str, Any] = {"from_another_version": True}
"""Context of a validation: what another Everline has sent or stored may have fields and values that
this one does not know, at any depth. Unknown fields are ignored, and an unknown value of a field
that is marked by `or_else` is read as the fallback that it names."""
_UNKNOWN_VALUE = {"enum", "literal_error"}
"""Pydantic's names of the error."""

Model = TypeVar("Model", bound=BaseModel)


def from_another_version(info: ValidationInfo) -> bool:
    """Whether a validation reads what another Everline has written."""
    return info.context == FROM_ANOTHER_VERSION


def or_else(fallback: object) -> WrapValidator:
    """Read a value that only another version knows as `fallback`.

    Marks an enum or a literal. A client's unknown value is refused all the same: the fallback
    holds for validations in the context `FROM_ANOTHER_VERSION` alone.
    """

    def read(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            unknown = isinstance(value, str) and {one["type"] for one in faults} <= _UNKNOWN_VALUE
            if unknown and from_another_version(info):
                return fallback
            raise

    return WrapValidator(read)


def without_unknown(kind: type[Enum]) -> BeforeValidator:
    """Leave out the items of a list that only another version knows: no other may stand for them.

    Like `or_else`, in the context `FROM_ANOTHER_VERSION` alone.
    """
    known = {member.value for member in kind}

    def read(items: Any, info: ValidationInfo) -> Any:
        if not from_another_version(info) or not isinstance(items, list | tuple):
            return items
        return [item for item in cast(Iterable[Any], items) if item in known]

    return BeforeValidator(read)


def of_any_version(model: type[BaseModel]) -> BeforeValidator:
    """Read the body of a request that only other parts of Everline make, of whichever version."""
    return BeforeValidator(reader(model))


def reader(model: type[Model]) -> Callable[[Any], Model]:
    """Reads what any version of Everline has stored as this model.

    The reader raises `ValidationError`.
    """

    def read(stored: Any) -> Model:
        return model.model_validate(stored, context=FROM_ANOTHER_VERSION)

    return read


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
