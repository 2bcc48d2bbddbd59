"""A payload converter that reads payloads of other versions of Everline.

It writes byte for byte what Temporal's own Pydantic converter does, and reads in the context
`FROM_ANOTHER_VERSION`: inputs, results, signals, updates and query answers.
"""

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import DataConverter, DefaultPayloadConverter
from typing_extensions import override

from domain.json_model import FROM_ANOTHER_VERSION


class TolerantJsonConverter(PydanticJSONPlainPayloadConverter):
    """Reads unknown fields and values as the models define."""

    @override
    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        kind = Any if type_hint is None else type_hint
        return _adapter(kind).validate_json(payload.data, context=FROM_ANOTHER_VERSION)


class TolerantPayloadConverter(DefaultPayloadConverter):
    """Temporal's converters, with `TolerantJsonConverter` for JSON."""

    def __init__(self) -> None:
        """Temporal creates one for each worker and client."""
        super().__init__()
        self.converters = {**self.converters, b"json/plain": TolerantJsonConverter()}


tolerant_data_converter = DataConverter(payload_converter_class=TolerantPayloadConverter)


@lru_cache(maxsize=256)
def _adapter(type_hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_hint)
