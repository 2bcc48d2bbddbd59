"""Every model that one process of Everline writes and another one reads, found in the code itself.

Found, not listed: a new message, activity, stored document or callback is among them at once.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel

import activities
from worker.workers import WORKFLOWS

ROOT = Path(__file__).parent.parent
READERS = {"reader", "of_any_version", "read_answer"}
"""Functions that read a model in the context `FROM_ANOTHER_VERSION`, by the model."""
CONTEXT = "FROM_ANOTHER_VERSION"
NEXT_YEAR = "from_next_year"
"""The name of a field, and a value, that no version knows."""
HANDLER_MARKS = (
    "__temporal_workflow_run",
    "__temporal_signal_definition",
    "__temporal_query_definition",
    "_defn",
)
"""By which Temporal's SDK knows the methods of a workflow; the last one marks updates."""
VALUES: dict[str, Any] = {
    "url": "https://example.com/x",
    "to": "+4312345678",
    "parameters": {"type": "object"},
    "data_schema": {"type": "object", "properties": {"name": {"type": "string"}}},
}
"""Values of fields that take no simple ones."""


def temporal_types() -> list[Any]:
    """What is given to, and comes from, workflows, their handlers and activities."""
    functions = [*_handlers(), *_activities()]
    hints = [hint for function in functions for hint in get_type_hints(function).values()]
    return _distinct(hint for hint in hints if list(_models(hint)))


def stored_and_called_back() -> list[type[BaseModel]]:
    """What is read from MongoDB, from the spool, and from the bodies of callbacks."""
    return _distinct(
        model
        for package in ("activities", "adapters", "agent", "api")
        for model in _read_in(package)
    )


def strict_reads(package: str) -> list[str]:
    """Where a package reads a model without the context, as `module:line`."""
    return [
        f"{path.relative_to(ROOT)}: {ast.unparse(call.func)}"
        for path, call in _calls(package)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("model_validate", "model_validate_json", "validate_json")
        and not _has_context(call)
    ]


def payload(hint: Any, name: str = "") -> Any:
    """A value in which every model has an unknown field, and every enum an unknown value."""
    if name in VALUES:
        return VALUES[name]
    hint, arguments = _bare(hint), get_args(_bare(hint))
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return payload(next(arm for arm in arguments if arm is not type(None)))
    if origin is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return NEXT_YEAR
    if origin in (list, tuple, set, frozenset):
        return [payload(arguments[0])]
    if hint is dict or origin is dict:
        return {}
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        fields = hint.model_fields
        return {name: payload(field.annotation, name) for name, field in fields.items()} | {
            NEXT_YEAR: {NEXT_YEAR: 1}
        }
    return _simple(hint)


def choices(hint: Any) -> Iterator[tuple[str, Any]]:
    """The fields below a type that hold an enum or a literal, as `Model.field`, and their types."""
    for model in _models(hint):
        for name, field in model.model_fields.items():
            for part in _parts(field.annotation):
                if get_origin(part) is Literal or (
                    isinstance(part, type) and issubclass(part, Enum)
                ):
                    yield f"{model.__name__}.{name}", part


def read_choices(value: Any) -> Iterator[tuple[str, Any]]:
    """What was read into such fields below a value."""
    if isinstance(value, BaseModel):
        named = {name for name, _ in choices(type(value))}
        for name in type(value).model_fields:
            field = f"{type(value).__name__}.{name}"
            found = getattr(value, name)
            if field in named:
                yield field, found
            yield from read_choices(found)
    elif isinstance(value, list | tuple):
        for item in cast(list[Any], value):
            yield from read_choices(item)


def _handlers() -> Iterator[Any]:
    for workflow in WORKFLOWS:
        for _, member in inspect.getmembers(workflow, inspect.isfunction):
            if any(hasattr(member, mark) for mark in HANDLER_MARKS):
                yield member


def _activities() -> Iterator[Any]:
    for module in _modules(activities):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            for _, member in inspect.getmembers(kind, inspect.isfunction):
                if hasattr(member, "__temporal_activity_definition"):
                    yield member


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def _calls(package: str) -> Iterator[tuple[Path, ast.Call]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def _has_context(call: ast.Call) -> bool:
    return any(
        keyword.arg == "context" and ast.unparse(keyword.value) == CONTEXT
        for keyword in call.keywords
    )


def _read_in(package: str) -> Iterator[type[BaseModel]]:
    for path, call in _calls(package):
        function, name = call.func, None
        if isinstance(function, ast.Name) and function.id in READERS and call.args:
            name = ast.unparse(call.args[0])
        elif isinstance(function, ast.Attribute) and _has_context(call):
            name = ast.unparse(function.value)
        if (name and name[:1].isupper()) or (name and name[:2].strip("_")[:1].isupper()):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield getattr(importlib.import_module(module), name)


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _parts(hint: Any) -> Iterator[Any]:
    """A type and the types that it is made of, without the values of a literal."""
    hint = _bare(hint)
    yield hint
    if get_origin(hint) is not Literal:
        for argument in get_args(hint):
            yield from _parts(argument)


def _models(hint: Any, known: set[Any] | None = None) -> Iterator[type[BaseModel]]:
    known = set() if known is None else known
    for part in _parts(hint):
        if isinstance(part, type) and issubclass(part, BaseModel) and part not in known:
            known.add(part)
            yield part
            for field in part.model_fields.values():
                yield from _models(field.annotation, known)


def _simple(hint: Any) -> Any:
    if hint is bool:
        return True
    if hint in (int, float, Any):
        return 1
    if isinstance(hint, type) and issubclass(hint, date):
        return "2030-01-31T08:00:00Z"
    if hint is timedelta:
        return "PT1H"
    if hint is str:
        return "x1"
    raise AssertionError(f"no value for {hint}")


def _distinct(found: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(found))
