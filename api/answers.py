"""Base classes of request bodies, and of responses that are built from domain objects."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from domain.json_model import JsonModel


class RequestBody(JsonModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """Base of responses that share field names with a domain object."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, shown: BaseModel, **others: Any) -> Self:
        """Build the response from the fields of `shown`; `others` override them.

        Raises:
            ValidationError: a field is missing from both, or has the wrong type.
        """
        return cls.model_validate(dict(shown) | others)


class CamelCaseAnswer(Answer):
    """Base of responses with camelCase names on the wire, as in the older LiveKit backend."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )
