"""Recordings by HTTP: told by the agent with its token, read by their org alone."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from adapters.recordings import RecordingStore
from domain.agents.servers import Heartbeat
from domain.ids import SessionKey
from domain.recordings.recording import HEARD_WITHIN, LOST_AFTER
from tests.api.door import OTHER_KEY, Door, is_problem, open_door
from tests.fakes.s3 import S3
from tests.harness.agent_callbacks import report
from tests.workflows.calls import Call

SOUND = b"OggS, and what was said"


@pytest.fixture
async def in_directory(door: Door, tmp_path: Path) -> AsyncGenerator[Door]:
    """The API with a directory of recordings."""
    store = RecordingStore(tmp_path.as_uri())
    async with open_door(door.studio, replace(door.deps, recordings=store)) as with_recordings:
        yield with_recordings


def recording(key: SessionKey, state: str, attempt: int = 1, **fields: object) -> dict[str, object]:
    path = f"{key.org}/{key.session_id}/{attempt}-AJ.ogg"
    return {"attempt": attempt, "state": state, "path": path, **fields}


async def tell(door: Door, call: Call, body: dict[str, object]) -> httpx.Response:
    attempt = int(str(body["attempt"]))
    headers = door.as_agent(call.key, attempt)
    return await door.http.post("/v1/agent/recording", json=body, headers=headers)


def address(call: Call) -> str:
    return f"/v1/sessions/{call.key.session_id}/recording"


async def _ended(door: Door) -> Call:
    call = await door.live()
    await call.end()
    await call.closed()
    return call


async def test_the_last_stored_recording_is_sent_from_the_directory(
    in_directory: Door, tmp_path: Path
) -> None:
    door, call = in_directory, await _ended(in_directory)
    folder = tmp_path / call.key.org / call.key.session_id
    folder.mkdir(parents=True)
    for attempt in (1, 2):
        (folder / f"{attempt}-AJ.ogg").write_bytes(SOUND + bytes([attempt]))
        answer = await tell(door, call, recording(call.key, "stored", attempt))
        assert answer.json() == {"stored": True}

    last = await door.http.get(address(call))
    first = await door.http.get(address(call), params={"attempt": 1})
    part = await door.http.get(address(call), headers={"Range": "bytes=0-3"})
    header = (await door.http.get(f"/v1/sessions/{call.key.session_id}/turns")).json()["transcript"]

    assert (last.content, first.content) == (SOUND + b"\x02", SOUND + b"\x01")
    assert last.headers["content-type"] == "audio/ogg"
    assert (part.status_code, part.content) == (206, SOUND[:4])
    assert [one["state"] for one in header["recordings"]] == ["stored", "stored"]


async def test_from_s3_it_is_a_link(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    call = await _ended(door)
    async with S3() as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        s3.objects[f"bucket/{call.key.org}/{call.key.session_id}/1-AJ.ogg"] = SOUND
        deps = replace(door.deps, recordings=RecordingStore("s3://bucket"))
        async with open_door(door.studio, deps) as with_s3, httpx.AsyncClient() as anybody:
            await tell(with_s3, call, recording(call.key, "stored"))
            answer = await with_s3.http.get(address(call), follow_redirects=False)
            assert answer.status_code == 307
            assert (await anybody.get(answer.headers["location"])).content == SOUND


async def test_why_there_is_none_is_told(in_directory: Door) -> None:
    door, call = in_directory, await _ended(in_directory)
    assert is_problem(await door.http.get(address(call)), 404, "not_found")

    await tell(door, call, recording(call.key, "pending"))
    pending = await door.http.get(address(call))
    await tell(door, call, recording(call.key, "failed", error="the bucket is full"))
    failed = await door.http.get(address(call))
    await tell(door, call, recording(call.key, "stored"))
    lost = await door.http.get(address(call))

    assert is_problem(pending, 409, "conflict")
    assert is_problem(failed, 409, "conflict")
    assert "the bucket is full" in failed.json()["detail"]
    assert is_problem(lost, 404, "not_found")


async def test_a_recording_that_nobody_can_bring_has_failed_until_somebody_brings_it(
    in_directory: Door,
) -> None:
    door, call = in_directory, await _ended(in_directory)
    disk = uuid4().hex
    now = datetime.now(UTC)
    await tell(door, call, recording(call.key, "pending", spool=disk, started_at=now.isoformat()))

    assert await states(door, call) == ["failed"] * 2, "its agent server was never heard"
    refusal = await door.http.get(address(call))
    assert is_problem(refusal, 409, "conflict")
    assert "the agent server with its disk" in refusal.json()["detail"]
    # The next agent server on the same disk has another id.
    beat = Heartbeat(server_id=f"next-{disk}", agent_name="a", max_jobs=1, spool=disk)
    await door.deps.agent_servers.record(beat, datetime.now(UTC))
    assert await states(door, call) == ["pending"] * 2
    long_silent = f"silent-{disk}"
    other = beat.model_copy(update={"server_id": long_silent, "spool": uuid4().hex})
    await door.deps.agent_servers.record(other, now - HEARD_WITHIN - timedelta(minutes=1))
    spooled = recording(call.key, "pending", spool=other.spool, started_at=now.isoformat())
    await tell(door, call, spooled)
    assert await states(door, call) == ["failed"] * 2, "it was heard too long ago"

    await tell(door, call, recording(call.key, "stored"))
    assert await states(door, call) == [
        "stored",
        "the recording is missing in the storage",
    ]


async def test_after_days_without_a_word_a_recording_has_failed(in_directory: Door) -> None:
    door, call = in_directory, await _ended(in_directory)
    begun = datetime.now(UTC) - LOST_AFTER
    young, old = begun + timedelta(hours=1), begun - timedelta(hours=1)

    await tell(door, call, recording(call.key, "pending", started_at=young.isoformat()))
    assert await states(door, call) == ["pending"] * 2
    await tell(door, call, recording(call.key, "pending", started_at=old.isoformat()))
    assert await states(door, call) == ["failed"] * 2
    assert "within 8 days" in (await door.http.get(address(call))).json()["detail"]


async def states(door: Door, call: Call) -> list[str]:
    """How far a call's only recording is: by its transcript's header, and by its own address."""
    turns = await door.http.get(f"/v1/sessions/{call.key.session_id}/turns")
    [known] = turns.json()["transcript"]["recordings"]
    answer = await door.http.get(address(call))
    told = answer.json()["detail"]
    if answer.status_code == 409:
        return [known["state"], "pending" if "not stored yet" in told else "failed"]
    return [known["state"], told]


async def test_of_an_attempt_with_two_recordings_the_whole_one_is_sent(
    in_directory: Door, tmp_path: Path
) -> None:
    door, call = in_directory, await _ended(in_directory)
    folder = tmp_path / call.key.org / call.key.session_id
    folder.mkdir(parents=True)
    (folder / "1-AJ.ogg").write_bytes(SOUND[:5])
    (folder / "1-AJ-egress.ogg").write_bytes(SOUND)
    await tell(door, call, recording(call.key, "stored", bytes=5))
    whole = recording(call.key, "stored", bytes=len(SOUND))
    await tell(door, call, whole | {"path": str(whole["path"]).replace(".ogg", "-egress.ogg")})

    assert (await door.http.get(address(call))).content == SOUND


async def test_nobody_reads_or_tells_another_sessions_recording(
    in_directory: Door, tmp_path: Path
) -> None:
    door, call, victim = in_directory, await _ended(in_directory), SessionKey("globex", "secret")
    (tmp_path / "globex" / "secret").mkdir(parents=True)
    (tmp_path / "globex" / "secret" / "1-AJ.ogg").write_bytes(SOUND)
    outside = f"{call.key.org}/{call.key.session_id}/../../globex/secret/1-AJ.ogg"
    for path in ("globex/secret/1-AJ.ogg", outside):
        forged = recording(call.key, "stored") | {"path": path}
        assert is_problem(await tell(door, call, forged), 403, "forbidden")
        # A report may name any path as well; it links nothing.
        body = report(recording=forged, job_id=path)
        headers = door.as_agent(call.key)
        answer = await door.http.post("/session/observability", json=body, headers=headers)
        assert answer.status_code == 200
    assert is_problem(await door.http.get(address(call)), 404, "not_found")
    await tell(door, call, recording(call.key, "stored"))
    async with open_door(door.studio, door.deps, key=OTHER_KEY) as other:
        assert is_problem(await other.http.get(address(call)), 404, "not_found")
        missing = await other.http.get(f"/v1/sessions/{victim.session_id}/recording")
        assert is_problem(missing, 404, "not_found")
    wrong = await door.http.post(
        "/v1/agent/recording",
        json=recording(call.key, "stored", attempt=2),
        headers=door.as_agent(call.key, attempt=1),
    )
    assert is_problem(wrong, 403, "forbidden")


async def test_without_a_storage_the_cure_is_named(door: Door) -> None:
    call = await _ended(door)
    await tell(door, call, recording(call.key, "stored"))
    answer = await door.http.get(address(call))
    assert is_problem(answer, 503, "storage_unavailable")
    assert "EVERLINE_RECORDINGS_URL" in answer.json()["errors"][0]["cure"]


async def test_what_egress_has_recorded_is_linked(in_directory: Door, tmp_path: Path) -> None:
    door, call = in_directory, await _ended(in_directory)
    path = f"{call.key.org}/{call.key.session_id}/1-AJ.ogg"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(SOUND)
    file = {"filename": f"{tmp_path}/{path}", "size": str(len(SOUND)), "startedAt": "1"}

    def ended(status: str, room: str, **further: object) -> dict[str, object]:
        info = {"roomName": room, "status": status, "fileResults": [file], **further}
        return {"event": "egress_ended", "id": f"EV_{status}_{room}", "egressInfo": info}

    other = await door.webhook(ended("EGRESS_COMPLETE", "globex.front"))
    failed = await door.webhook(ended("EGRESS_FAILED", call.room, error="no disk"))
    before = await door.http.get(address(call))
    stored = await door.webhook(ended("EGRESS_COMPLETE", call.room))

    assert (other["forwarded"], failed["forwarded"], stored["forwarded"]) == (False, True, True)
    assert is_problem(before, 409, "conflict")
    assert "no disk" in before.json()["detail"]
    assert (await door.http.get(address(call))).content == SOUND
