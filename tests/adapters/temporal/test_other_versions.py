"""What crosses Temporal is read by the converter of clients and workers, also from next year."""

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload

from adapters.temporal.encryption import data_converter
from tests.crossing import payload, read_choices, temporal_types
from tests.domain.test_other_versions import FALLBACKS

CONVERTER = data_converter({"unused": bytes(32)})


@pytest.mark.parametrize("hint", temporal_types(), ids=str)
async def test_a_payload_from_next_year_arrives(hint: Any) -> None:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(payload(hint)).encode())
    assert CONVERTER.payload_codec is not None
    encrypted = await CONVERTER.payload_codec.encode([plain])

    [read] = await CONVERTER.decode(encrypted, [hint])

    assert {field: value for field, value in read_choices(read) if value != FALLBACKS[field]} == {}
