"""A payload converter that reads payloads of other versions of Everline.

It writes byte for byte what Temporal's own Pydantic converter does, and reads in the context
`FROM_ANOTHER_VERSION`: inputs, results, signals, updates and query answers.
"""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

from domain.json_model import FROM_ANOTHER_VERSION


class TolerantJsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads unknown fields and values as the models define."""

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """The value of a payload.

        Raises:
            ValidationError: it is of another type.
        """
        adapter = _adapter(type_hint) if type_hint is not None else _ANYTHING
        return adapter.validate_json(payload.data, context=FROM_ANOTHER_VERSION)


class TolerantPayloadConverter(CompositePayloadConverter):
    """Temporal's converters, with `TolerantJsonConverter` for JSON."""

    def __init__(self) -> None:
        """Temporal creates one for each worker and client."""
        super().__init__(
            *(
                TolerantJsonConverter()
                if isinstance(converter, JSONPlainPayloadConverter)
                else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


tolerant_data_converter = DataConverter(payload_converter_class=TolerantPayloadConverter)

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


@lru_cache(maxsize=256)
def _adapter(type_hint: type) -> TypeAdapter[Any]:
    return TypeAdapter(type_hint)
