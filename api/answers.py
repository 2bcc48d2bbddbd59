"""Answers that are made of objects of the domain, field by field."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """Base of answers whose fields are named as in the object that they show."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, shown: BaseModel, **others: Any) -> Self:
        """Make the answer from the fields it shares with `shown`; `others` go before those.

        Raises:
            ValidationError: a field is neither in `shown` nor in `others`, or does not fit.
        """
        return cls.model_validate(dict(shown) | others)


class CamelCaseAnswer(Answer):
    """Base of answers whose names are in camelCase on the wire, like the seed service's."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )
