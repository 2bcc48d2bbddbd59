"""Server-sent events of a session: its states, its turns, and its end."""

import asyncio
import json
from dataclasses import replace

import pytest

from api.dependencies import Archive
from api.routes.sessions.event_stream import LINGER_SNAPSHOTS
from domain.errors import NotFound
from domain.ids import SessionKey
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.transcript import Turn
from services.sessions.watches import SessionWatches, Snapshot
from services.transcripts.transcripts import Transcripts
from tests.api.door import JSON, Door, is_problem, open_door
from tests.fakes.agents import Plays
from tests.waiting import eventually

KEY = SessionKey("acme", "watched")
NOTHING = Snapshot(None, None)

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


class CountedTranscripts(Transcripts):
    """Counts how often all turns of a session are read."""

    reads = 0

    async def turns(self, key: SessionKey) -> list[Turn]:
        self.reads += 1
        return await super().turns(key)


async def test_a_session_is_looked_at_once_for_all_who_watch_it(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    await call.says("Hello", "Goodbye")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()
    archive = door.studio.archive
    counted = CountedTranscripts(archive.transcripts)
    parts = Archive(archive.sessions, counted, archive.summaries)
    watches = SessionWatches(0)
    deps = replace(door.deps, archive=parts, watches=watches)

    async with open_door(door.studio, deps) as watched:
        streams = await asyncio.gather(*(_events(watched, call.key.session_id) for _ in range(20)))

    assert all(stream == streams[0] for stream in streams)
    assert [name for name, _, _ in streams[0]].count("turn") == 2
    assert streams[0][-1][0] == "end"
    # Each alone would take as many snapshots as one; on a busy machine some come late.
    assert LINGER_SNAPSHOTS <= counted.reads < len(streams) * LINGER_SNAPSHOTS


async def test_an_org_has_so_many_streams_and_its_places_come_back(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    path = f"/v1/sessions/{call.key.session_id}/events"
    deps = replace(door.deps, watches=SessionWatches(2))
    async with open_door(door.studio, deps) as narrow:
        missing = await narrow.http.get("/v1/sessions/never-was/events")
        assert missing.status_code == 404, "and that takes no place"
        streams = [asyncio.create_task(narrow.http.get(path)) for _ in range(3)]

        await eventually(lambda: any(stream.done() for stream in streams))
        [refused] = [stream.result() for stream in streams if stream.done()]
        assert is_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0

        await call.crew.report(1, ReportEnd.AGENT_ENDED)
        await call.closed()
        answers = await asyncio.gather(*streams)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
        assert (await narrow.http.get(path)).status_code == 200


async def test_a_watcher_who_goes_leaves_the_others_their_look() -> None:
    begun, answered = asyncio.Event(), asyncio.Event()

    async def take_snapshot() -> Snapshot:
        begun.set()
        await answered.wait()
        return NOTHING

    watches = SessionWatches(0)
    with watches.watch(KEY, take_snapshot) as one, watches.watch(KEY, take_snapshot) as other:
        going, staying = asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(other))
        await begun.wait()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        answered.set()
        assert await staying == NOTHING


async def test_a_fault_is_every_watchers_and_not_who_comes_later() -> None:
    async def fails() -> Snapshot:
        raise NotFound("it is gone")

    async def works() -> Snapshot:
        return NOTHING

    watches = SessionWatches(0)
    with watches.watch(KEY, fails) as one, watches.watch(KEY, fails) as other:
        for snapshots in (one, other):
            with pytest.raises(NotFound):
                await anext(snapshots)
        with watches.watch(KEY, works) as later:
            assert await anext(later) == NOTHING
