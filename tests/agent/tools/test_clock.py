"""`current_time`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.agent.tools.talk import talking
from tests.fakes.scripted_chat import Call, ScriptedChat


async def tell(config: dict[str, Any], arguments: dict[str, Any]) -> str:
    """The tool's answer."""
    async with (
        ScriptedChat([Call("current_time", arguments)]) as chat,
        talking(chat, {"tools": ["current_time"], **config}) as talk,
    ):
        await talk.say("What time is it?")
    return chat.answers_of_tools()[0]


@pytest.mark.parametrize(
    ("config", "arguments", "zone"),
    [
        ({}, {}, "UTC"),
        ({"time_zone": "Asia/Kolkata"}, {}, "Asia/Kolkata"),
        ({"time_zone": "Asia/Kolkata"}, {"time_zone": "Asia/Tokyo"}, "Asia/Tokyo"),
    ],
)
async def test_the_time_of_the_zone_is_told(
    config: dict[str, Any], arguments: dict[str, Any], zone: str
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    answer = await tell(config, arguments)
    after = datetime.now(UTC)

    name, told = answer.rpartition("(")[2].removesuffix(")").split(", ")
    assert name == zone
    assert before <= datetime.fromisoformat(told) <= after
    offsets = {"UTC": 0, "Asia/Kolkata": 19_800, "Asia/Tokyo": 32_400}
    offset = datetime.fromisoformat(told).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == offsets[zone]


@pytest.mark.parametrize("zone", ["Mars/Crater", "../../etc/passwd", "Europe"])
async def test_a_zone_that_does_not_exist_is_told_to_the_model(zone: str) -> None:
    assert "there is no time zone" in await tell({}, {"time_zone": zone})
