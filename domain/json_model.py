"""Models that are read from JSON: strict types, other versions' values, and times as text."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

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
from pydantic_core import InitErrorDetails
from typing_extensions import TypeIs

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = "a time as in RFC 3339, such as 2030-01-31T08:00:00Z"


def _written_out(value: Any) -> Any:
    """Refuse seconds since 1970, which pydantic accepts as a number or a text."""
    if isinstance(value, str | int | float) and not _DATE.match(str(value)):
        raise ValueError(f"must be {_TIME}")
    return value


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


Time = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_in_utc)]
"""A time with its zone, in the format of RFC 3339."""

FROM_ANOTHER_VERSION: dict[str, Any] = {"from_another_version": True}
"""Validation context for what another version of Everline has sent or stored: unknown fields are
ignored at any depth, and an unknown value of a field with `or_else` is read as its fallback."""
_UNKNOWN_VALUE = {"enum", "literal_error"}
"""Pydantic's types of the error."""

Model = TypeVar("Model", bound=BaseModel)


def from_another_version(info: ValidationInfo) -> bool:
    """Whether a validation reads what another version of Everline has written."""
    return info.context == FROM_ANOTHER_VERSION


def or_else(fallback: object) -> WrapValidator:
    """Annotate an enum or a literal: read a value that only another version knows as `fallback`.

    Only in the context `FROM_ANOTHER_VERSION`: an unknown value from a client is refused.
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
    """Annotate a list: leave out the items that only another version knows.

    Like `or_else`, only in the context `FROM_ANOTHER_VERSION`.
    """
    known = {member.value for member in kind}

    def read(items: Any, info: ValidationInfo) -> Any:
        if not from_another_version(info) or not isinstance(items, list | tuple):
            return items
        return [item for item in cast(Iterable[Any], items) if item in known]

    return BeforeValidator(read)


def of_any_version(model: type[BaseModel]) -> BeforeValidator:
    """Annotate the body of a request that other processes of Everline send, of any version."""
    return BeforeValidator(reader(model))


def reader(model: type[Model]) -> Callable[[Any], Model]:
    """A function that reads what any version of Everline has stored as this model.

    It raises `ValidationError`.
    """

    def read(stored: Any) -> Model:
        return model.model_validate(stored, context=FROM_ANOTHER_VERSION)

    return read


class JsonModel(BaseModel):
    """Base of request bodies: a value of another JSON type is refused, not converted.

    Pydantic would accept "yes" for true, and true or "7.5" for a number or a time. The OpenAPI
    document forbids them, and a client that sends them has a mistake that would show much later.
    Values in lists and objects are checked as well.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str) and not is_unicode(value):
            raise ValueError("must be valid Unicode")
        problem = _problem(value, _kinds_of_field(cls, info.field_name or ""))
        if problem:
            raise problem.error(cls.__name__)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _in_the_calendar(cls, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo:
            _in_utc(value)
        return value


_NAMES = {bool: "true or false", float: "a number", str: "a text", datetime: _TIME}


class _Problem(NamedTuple):
    """A value of another JSON type than its annotation."""

    place: tuple[str | int, ...]
    """Where it is in the field's value."""
    expected: str

    def error(self, title: str) -> ValueError:
        """The error, which names the place of the value."""
        fault = ValueError(f"must be {self.expected}")
        details = InitErrorDetails(
            type="value_error", loc=self.place, input=None, ctx={"error": fault}
        )
        return ValidationError.from_exception_data(title, [details])


@cache
def _kinds_of_field(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    return _kinds(model.model_fields[name].annotation)


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union, at any depth, without what annotates them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(kind for one in get_args(annotation) for kind in _kinds(one))
    return (annotation,)


def _problem(value: Any, kinds: Sequence[Any]) -> _Problem | None:
    """What is wrong with the JSON type of a value, or of one inside it; None if it fits."""
    if isinstance(value, list | dict):
        inside = [_problem_inside(cast(Any, value), kind) for kind in kinds]
        return None if None in inside else next(iter(inside), None)
    types = {_json_type(kind) for kind in kinds}
    if is_number(value):
        # Whether a number can be a time is for the field itself to say.
        fits = bool(types & {float, datetime})
    elif isinstance(value, bool):
        fits = bool in types
    elif isinstance(value, str):
        fits = str in types or (datetime in types and bool(_DATE.match(value)))
    else:
        return None
    if fits or Any in kinds or not types & {bool, float, datetime}:
        return None
    return _Problem((), " or ".join(name for kind, name in _NAMES.items() if kind in types))


def _problem_inside(value: Any, kind: Any) -> _Problem | None:
    """As `_problem`, for the items of a list or the values of an object."""
    arguments, is_object = get_args(kind), isinstance(value, dict)
    if not arguments or is_object != (get_origin(kind) is dict):
        return None
    kinds = _kinds(arguments[-1 if is_object else 0])
    items = value.items() if is_object else enumerate(value)
    for name, item in cast(Iterable[tuple[str | int, Any]], items):
        if problem := _problem(item, kinds):
            return problem._replace(place=(name, *problem.place))
    return None


def _json_type(kind: Any) -> type | None:
    """The key in `_NAMES` of an alternative; None for all others."""
    if kind in (int, float):
        return float
    if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum | str)):
        return str
    return kind if kind in (bool, datetime) else None


def is_number(value: object) -> TypeIs[int | float]:
    """Whether a value is a number; true and false, which Python counts as such, are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_unicode(text: str) -> bool:
    """Whether a text can be encoded; JSON can also contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def writable(value: object) -> object:
    """`writable_text` of a text, and any other value unchanged.

    Used for what agents send, so that a lone surrogate never loses what was said.
    """
    return writable_text(value) if isinstance(value, str) else value


def writable_pairs(value: Any) -> Any:
    """An object with `writable` names and values, and any other value unchanged."""
    if not isinstance(value, dict):
        return value
    pairs = cast(dict[object, object], value)
    return {writable(name): writable(item) for name, item in pairs.items()}


def cut_off(value: Any, levels: int) -> Any:
    """A JSON value without what is nested in it more deeply; the same object if nothing is."""
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        items = cast(list[Any], value)
        cut: Any = [cut_off(item, levels - 1) for item in items]
        same = all(one is other for one, other in zip(cut, items, strict=True))
    else:
        pairs = cast(dict[Any, Any], value)
        cut = {name: cut_off(item, levels - 1) for name, item in pairs.items()}
        same = all(cut[name] is item for name, item in pairs.items())
    return cast(Any, value) if same else cut


def writable_text(text: str) -> str:
    """The text with each lone surrogate replaced by `?`."""
    return text.encode(errors="replace").decode()
