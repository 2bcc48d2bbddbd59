"""Reading the event stream, also over a break of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from stack.demo.client import Event, SessionClient, Turn, Watch, read_events
from tests.stack.demo.evidence_of_a_good_call import good_call, status


async def lines_of(text: str) -> AsyncIterator[str]:
    for line in text.split("\n"):
        yield line


async def test_events_are_put_together_and_comments_left_out() -> None:
    text = (
        ': still here\n\nid: state:1\nevent: state\ndata: {"a":\ndata: 1}\n\ndata: bare\n\nid: x\n'
    )
    events = [event async for event in read_events(lines_of(text))]
    assert events == [Event("state", "state:1", '{"a":\n1}'), Event("message", "", "bare")]


class StreamThatStartsAgain(SessionClient):
    """Sends everything twice, as the API does after a reconnect."""

    def __init__(self, events: list[Event]) -> None:
        super().__init__("http://localhost:1", "key", "demo-1")
        self._events = events

    async def events(self) -> AsyncGenerator[Event]:
        for event in [*self._events, *self._events]:
            yield event


async def test_what_is_sent_again_is_taken_in_once() -> None:
    turns = good_call().live_turns
    events = [Event("turn", f"turn:{turn.item_id}", turn.model_dump_json()) for turn in turns]
    closed = status(state="closed", room_deleted=True)
    events.append(Event("state", "state:9", closed.model_dump_json()))
    shown: list[Turn] = []
    watch = Watch(StreamThatStartsAgain(events), shown.append)
    following = asyncio.create_task(watch.follow())
    await watch.until(lambda seen: seen.status is not None and seen.status.over, within=10)
    await following
    assert shown == watch.turns == turns
