"""Checks of JSON Schemas: their form, and their references, which must resolve without a cycle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

if TYPE_CHECKING:
    # What `Registry.resolver` returns; the library gives it no other name.
    from referencing._core import Resolver

_REFERENCES = ("$ref", "$dynamicRef")
_ALTERNATIVES = ("allOf", "anyOf", "oneOf")
_CONDITIONS = ("not", "if", "then", "else")
MAX_DEPTH = 50
"""Nested schemas that may apply to one value."""

_Schema = dict[str, Any]


def check_object_schema(schema: _Schema, max_chars: int) -> None:
    """Check that a schema is a valid JSON Schema of an object.

    Raises:
        ValueError: saying where in the schema the error is.
    """
    if len(json.dumps(schema)) > max_chars:
        raise ValueError(f"must not be longer than {max_chars} characters as JSON")
    if schema.get("type") != "object":
        raise ValueError('must be the JSON Schema of an object: {"type": "object", …}')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        path = "/".join(map(str, error.absolute_path)) or "the whole"
        raise ValueError(f"is not a JSON Schema, at {path}: {error.message[:200]}") from None


def check_references(schema: _Schema) -> None:
    """Check that a schema refers to its own parts only, and without a cycle.

    A schema may contain itself (a comment whose replies are comments), but the schemas that apply
    to one value must be finite, or a validator would never end.

    Raises:
        ValueError: naming the wrong reference, and the cure.
    """
    check = _Check()
    check.targets.append((schema, _resolver(schema)))
    seen: set[int] = set()
    while check.targets:
        # What a reference leads to may stand where no schema stands, and has parts of its own.
        for part, resolver in _subschemas(*check.targets.pop()):
            if id(part) not in seen:
                seen.add(id(part))
                check.depth(part, resolver, "#")


def subschemas(schema: _Schema) -> Iterator[tuple[_Schema, Resolver[Any]]]:
    """The schema and all schemas in it, each with the resolver of its references."""
    return _subschemas(schema, _resolver(schema))


def _resolver(schema: _Schema) -> Resolver[Any]:
    root = DRAFT202012.create_resource(schema)
    base = root.id() or ""
    registry: Registry[Any] = Registry()
    return registry.with_resource(base, root).resolver(base)


def _subschemas(
    schema: _Schema, resolver: Resolver[Any]
) -> Iterator[tuple[_Schema, Resolver[Any]]]:
    todo: list[tuple[Any, Resolver[Any]]] = [(schema, resolver)]
    while todo:
        contents, resolver = todo.pop()
        # Otherwise it is a boolean, which has no parts.
        if isinstance(contents, dict):
            part = cast(_Schema, contents)
            yield part, resolver
            inner = DRAFT202012.create_resource(part).subresources()
            todo.extend((one.contents, resolver.in_subresource(one)) for one in inner)


class _Check:
    def __init__(self) -> None:
        self.targets: list[tuple[_Schema, Resolver[Any]]] = []
        """Schemas that references lead to, not checked from their own beginning yet."""
        self._depths: dict[int, int] = {}
        self._on_the_way: set[int] = set()

    def depth(self, schema: _Schema, resolver: Resolver[Any], reference: str) -> int:
        """How many nested schemas apply to a value of this one."""
        me = id(schema)
        if me in self._depths:
            return self._depths[me]
        if me in self._on_the_way:
            raise ValueError(
                f"has a cycle at $ref {reference[:100]!r}; refer to it from the"
                " properties or items of a schema only"
            )
        self._on_the_way.add(me)
        deepest = 0
        for part, its_resolver, by in self._same_value(schema, resolver):
            if len(self._on_the_way) <= MAX_DEPTH:
                deepest = max(deepest, self.depth(part, its_resolver, by or reference))
            if max(deepest + 1, len(self._on_the_way)) > MAX_DEPTH:
                raise ValueError(f"leads from schema to schema more than {MAX_DEPTH} times")
        self._on_the_way.discard(me)
        self._depths[me] = deepest + 1
        return deepest + 1

    def _same_value(
        self, schema: _Schema, resolver: Resolver[Any]
    ) -> Iterator[tuple[_Schema, Resolver[Any], str | None]]:
        for name in _REFERENCES:
            if name in schema:
                yield from self._target(schema[name], resolver)
        nested: list[Any] = [schema[name] for name in _CONDITIONS if name in schema]
        for name in _ALTERNATIVES:
            nested.extend(schema.get(name, []))
        nested.extend(schema.get("dependentSchemas", {}).values())
        for part in nested:
            if isinstance(part, dict):
                inner = cast(_Schema, part)
                inside = resolver.in_subresource(DRAFT202012.create_resource(inner))
                yield inner, inside, None

    def _target(
        self, reference: str, resolver: Resolver[Any]
    ) -> Iterator[tuple[_Schema, Resolver[Any], str]]:
        if not reference.startswith("#"):
            raise ValueError("may refer to its own parts only ($ref beginning with #)")
        try:
            found = resolver.lookup(reference)
        except (Unresolvable, ValueError):
            raise ValueError(
                f"has a $ref {reference[:100]!r} that points nowhere; define it under $defs"
            ) from None
        target: Any = found.contents
        try:
            Draft202012Validator.check_schema(target)
        except SchemaError:
            raise ValueError(f"has a $ref {reference[:100]!r} to what is no schema") from None
        if isinstance(target, dict):
            self.targets.append((cast(_Schema, target), found.resolver))
            yield cast(_Schema, target), found.resolver, reference
