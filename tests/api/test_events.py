"""Server-sent events of a session: its states, its turns, and its end."""

import json

from domain.transcript import ReportEnd
from tests.api.door import JSON, Door
from tests.fakes.agents import Plays

GOODBYE = "Good\u2028bye,\u2029and\x85thanks"


async def _events(door: Door, session_id: str) -> list[tuple[str, str, JSON]]:
    """All events of a stream: name, id and data."""
    answer = await door.http.get(f"/v1/sessions/{session_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    found: list[tuple[str, str, JSON]] = []
    for block in answer.text.replace("\r\n", "\n").split("\n\n"):
        # As httpx's `iter_lines` does, which ends a line at more than a line feed.
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


async def test_a_stream_tells_everything_and_ends_with_the_session(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    await call.says("Hello", GOODBYE)
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()

    events = await _events(door, call.key.session_id)

    names = [name for name, _, _ in events]
    assert names[-1] == "end"
    assert names.count("turn") == 2
    states = [data for name, _, data in events if name == "state"]
    assert states[-1]["outcome"] == "completed"
    assert [data["text"] for name, _, data in events if name == "turn"] == ["Hello", GOODBYE]
    ids = [event_id for _, event_id, _ in events]
    assert len(ids) == len(set(ids)), "an id tells repetitions after a reconnect"
    assert ids == [event_id for _, event_id, _ in await _events(door, call.key.session_id)]
