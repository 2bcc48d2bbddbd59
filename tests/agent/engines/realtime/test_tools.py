"""A realtime model calls the agent's tools, and answers with what they give."""

from livekit.agents import function_tool

from tests.agent.engines.realtime.talk import (
    MODELS,
    PLUGINS_OWN_WARNINGS,
    config,
    said,
    settings,
    speak,
    talking,
)
from tests.fakes.realtime import Exchange, FakeProvider
from tests.waiting import eventually

pytestmark = PLUGINS_OWN_WARNINGS


async def test_a_tools_result_goes_back_and_is_answered(name: str, fake: FakeProvider) -> None:
    asked: list[int] = []

    @function_tool
    async def look_up_table(people: int) -> str:
        """Look for a free table."""
        asked.append(people)
        return "table seven is free"

    fake.script = [Exchange("A table for four.", "Seven is free.", "look_up_table", {"people": 4})]
    async with talking(config(MODELS[name]), settings(fake), tools=[look_up_table]) as session:
        speak(session)
        await eventually(lambda: ("assistant", "Seven is free.") in said(session), 30)

        assert said(session) == [("user", "A table for four."), ("assistant", "Seven is free.")]
    assert asked == [4]
    assert "table seven is free" in str(fake.latest.received)
