"""Server-sent events of a session: its states, its turns, and its end."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.dependencies import Archive
from api.routes.sessions.event_stream import LINGER_SNAPSHOTS
from domain.errors import NotFound
from domain.ids import SessionKey
from domain.sessions.end_reasons import ReportEnd
from domain.transcripts.listening import Heard
from domain.transcripts.ports import TranscriptArchive
from domain.transcripts.transcript import Role, StoredTurn
from services.sessions.watches import SessionWatches, Snapshot
from services.transcripts.following import TurnFollower
from services.transcripts.transcripts import Transcripts
from tests.api.door import JSON, Door, is_problem, open_door
from tests.fakes.agents import Plays
from tests.waiting import eventually

KEY = SessionKey("acme", "watched")
NOTHING = Snapshot(None, None)

GOODBYE = "Good\u2028bye,\u2029and\x85thanks"


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream goes on for some snapshots after its session's end."""
    monkeypatch.setattr("services.sessions.watches.POLL_SECONDS", 0.05)


async def _events(door: Door, session_id: str, last: str = "") -> list[tuple[str, str, JSON]]:
    """All events of a stream, after the last one that was received: name, id and data."""
    headers = {b"Last-Event-ID": last.encode()} if last else None
    answer = await door.http.get(f"/v1/sessions/{session_id}/events", headers=headers)
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


class CountedTurns(TurnFollower):
    """Counts how often somebody looks for new turns."""

    reads = 0

    async def turns(self) -> Sequence[StoredTurn]:
        CountedTurns.reads += 1
        return await super().turns()


class CountedTranscripts(Transcripts):
    """Whose turns are followed by `CountedTurns`."""

    def __init__(self, archive: TranscriptArchive) -> None:
        super().__init__(archive)
        self._followed = archive
        self._before = CountedTurns.reads

    @property
    def reads(self) -> int:
        return CountedTurns.reads - self._before

    def follow(self, key: SessionKey) -> TurnFollower:
        return CountedTurns(self._followed, key)


@asynccontextmanager
async def _counted(door: Door) -> AsyncGenerator[tuple[Door, CountedTranscripts]]:
    """The API with streams of its own, and the count of their snapshots."""
    archive = door.studio.archive
    counted = CountedTranscripts(archive.transcripts)
    parts = Archive(archive.sessions, counted, archive.summaries)
    deps = replace(door.deps, archive=parts, watches=SessionWatches(0))
    async with open_door(door.studio, deps) as watched:
        yield watched, counted


async def test_a_turn_that_is_revised_is_told_again(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    said = f"/v1/sessions/{call.key.session_id}/turns"

    async def says(text: str, seq: int = 0) -> None:
        line = {"item_id": f"i{seq}", "seq": seq, "role": "user", "text": text}
        answer = await door.http.post(said, json={"turns": [line]}, headers=door.as_agent(call.key))
        assert answer.status_code == 200

    async with _counted(door) as (watched, counted):
        streaming = asyncio.create_task(_events(watched, call.key.session_id))
        await says("I")
        await _has_streamed(counted)
        await says("I want a table for four")
        await says("I want a table for four")
        await _has_streamed(counted)
        await call.crew.report(1, ReportEnd.AGENT_ENDED)
        await call.closed()
        events = await streaming

    turns = [(event_id, data["text"]) for name, event_id, data in events if name == "turn"]
    assert turns == [("turn:1/i0", "I"), ("turn:1.1/i0", "I want a table for four")]
    later = [event for event in await _events(door, call.key.session_id) if event[0] == "turn"]
    assert [event_id for _, event_id, _ in later] == ["turn:1.1/i0"]


async def _has_streamed(counted: CountedTranscripts) -> None:
    """Wait until every stream has sent what is stored now."""
    # The second read from here begins after this moment, the third after its events are sent.
    seen = counted.reads
    await eventually(lambda: counted.reads >= seen + 3, what="further snapshots")


async def test_a_report_that_replaces_heard_turns_says_which(door: Door) -> None:
    call = await door.live(
        Plays(foreign=True, report_when_told=False, report_when_removed=False), report_grace=30
    )
    begun = datetime.now(UTC)
    heard = [
        Heard(segment=f"SG_{n}", role=Role.USER, text=text, began_at=at, ended_at=at).turn(1)
        for n, text in enumerate(["a table", "for four"])
        for at in [begun + timedelta(seconds=n)]
    ]
    await door.studio.archive.transcripts.add_turns(call.key, heard)
    items = [{"id": "item_1", "type": "message", "role": "user", "content": ["A table for four."]}]

    async with _counted(door) as (watched, counted):
        streaming = asyncio.create_task(_events(watched, call.key.session_id))
        await _has_streamed(counted)
        answer = await door.http.post(
            "/session/observability",
            json={"chat_history": {"items": items}},
            headers=door.as_agent(call.key),
        )
        assert answer.status_code == 200
        await call.closed()
        events = await streaming
    again = await _events(door, call.key.session_id)

    replaced = [data for name, _, data in events if name == "replaced"]
    assert replaced == [{"attempt": 1, "item_id": turn.item_id} for turn in heard]
    for stream in (events, again):
        lines: dict[str, str] = {}
        for name, _, data in stream:
            if name == "turn":
                lines[data["item_id"]] = data["text"]
            elif name == "replaced":
                lines.pop(data["item_id"], None)
        assert lines == {"item_1": "A table for four."}, "as a client shows them"
    assert [event for event in again if event[0] == "replaced"], "for who reconnects"


async def test_after_the_end_there_is_nothing_more(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()
    path, after_end = f"/v1/sessions/{call.key.session_id}/events", {"Last-Event-ID": "end"}

    answer = await door.http.get(path, headers=after_end)
    assert (answer.status_code, answer.content) == (204, b"")

    missing = await door.http.get("/v1/sessions/never-was/events", headers=after_end)
    assert is_problem(missing, 404, "not_found")


async def test_a_stream_resumes_after_the_last_turn_that_was_received(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    await call.says("One", "Two", "Three")
    session = call.key.session_id
    archive = door.studio.archive.transcripts
    one, two, three = await archive.turns(call.key)
    earlier = {"created_at": one.created_at - timedelta(seconds=1)}
    late = one.model_copy(update={"item_id": "spooled-é", "seq": None, "text": "Zero"} | earlier)
    await archive.add_turns(call.key, [late])
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()
    ids = {turn.text: f"turn:1/{turn.item_id}" for turn in (late, one, two, three)}

    async def resumed(last: str) -> set[str]:
        events = await _events(door, session, last)
        assert [name for name, _, _ in events][-1] == "end"
        return {data["text"] for name, _, data in events if name == "turn"}

    assert await resumed(ids["Two"]) == {"Zero", "Three"}, "what was stored later is not skipped"
    assert await resumed(ids["Three"]) == {"Zero"}
    assert await resumed(ids["Zero"]) == {"One", "Two", "Three"}
    assert await resumed("turn:1/unknown") == {"Zero", "One", "Two", "Three"}
    states = [event_id for name, event_id, _ in await _events(door, session) if name == "state"]
    again = await _events(door, session, states[-1])
    assert [name for name, _, _ in again] == ["turn"] * 4 + ["end"]


async def test_a_session_is_looked_at_once_for_all_who_watch_it(door: Door) -> None:
    call = await door.live(Plays(report_when_removed=False))
    await call.says("Hello", "Goodbye")
    await call.crew.report(1, ReportEnd.AGENT_ENDED)
    await call.closed()

    async with _counted(door) as (watched, counted):
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
