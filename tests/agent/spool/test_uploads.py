"""Recordings reach their storage, whatever happens to the job, to the storage or to the API."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from livekit.protocol.egress import EgressInfo, EgressStatus

from adapters.livekit.connection import LiveKitConnection
from adapters.recordings import RecordingStore
from agent.callbacks import CallbackClient
from agent.sound.egress import record_room
from agent.spool import Drainer, Outbox, Uploads, spool_id
from domain.recordings.recording import GIVE_UP_AFTER, CallRecording, RecordingState
from tests.agent.samples import append, new_entry, report_record, target, turn_record
from tests.fakes.callback_api import CallbackApi
from tests.fakes.egress import Egress
from tests.fakes.s3 import S3
from tests.waiting import eventually

SOUND = b"OggS, and what was said"
PATH = "local/s1/1-AJ_1.ogg"
ROOM = "local.front"


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi() as server:
        yield server


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[S3]:
    async with S3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def pending(begun: datetime | None = None) -> CallRecording:
    return CallRecording(
        attempt=1,
        state=RecordingState.PENDING,
        path=PATH,
        started_at=begun or datetime.now(UTC),
    )


async def recorded(
    api: CallbackApi, spool: Path, sound: bytes | None = SOUND, begun: datetime | None = None
) -> None:
    """A job that has recorded its call and handed in its report."""
    entry = new_entry(spool, target(api))
    entry.announce_recording(pending(begun))
    if sound is not None:
        entry.sound.write_bytes(sound)
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(entry, client)
        outbox.put(report_record(end_reason="agent_ended"))
        assert await outbox.close(grace=30)


def told(api: CallbackApi) -> list[tuple[str, str | None]]:
    """How far the recording is, as the API was told."""
    return [(request.body["state"], request.body["error"]) for request in api.of("recording")]


def left(spool: Path) -> list[Path]:
    """What is still to be done."""
    return [*spool.glob("*-*"), *spool.glob("recordings/*")]


@pytest.mark.parametrize("storage", ["directory", "s3"])
async def test_a_recording_is_stored_and_told(
    api: CallbackApi, s3: S3, tmp_path: Path, storage: str
) -> None:
    spool, kept = tmp_path / "spool", tmp_path / "kept"
    url = kept.as_uri() if storage == "directory" else "s3://bucket/calls"
    await recorded(api, spool)

    await Uploads(spool, RecordingStore(url)).once()

    found = s3.objects.get(f"bucket/calls/{PATH}") if storage == "s3" else None
    assert (found or (kept / PATH).read_bytes()) == SOUND
    [request] = api.of("recording")
    assert request.authorization == f"Bearer {api.token}"
    assert (request.body["state"], request.body["path"]) == ("stored", PATH)
    assert request.body["bytes"] == len(SOUND)
    assert left(spool) == []


async def test_the_report_does_not_wait_for_the_storage(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    s3.refusal = 403
    await recorded(api, tmp_path)
    assert len(api.reports) == 1
    assert s3.asked == [], "the job itself uploads nothing"
    assert len(left(tmp_path)) == 1


async def test_a_storage_that_refuses_is_told_once_and_tried_again(
    api: CallbackApi, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first pause: longer than two tries take on any machine.
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 60.0)
    s3.refusal = 403
    await recorded(api, tmp_path)
    uploads = Uploads(tmp_path, RecordingStore("s3://bucket/calls"))

    await uploads.once()
    refused = len(s3.asked)
    await uploads.once()
    [(state, error)] = told(api)
    assert state == "failed"
    assert "the recording storage did not take a recording" in (error or "")
    assert len(s3.asked) == refused, "not before its pause is over"

    s3.refusal = None
    # The next agent server on the same directory tries it at once.
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).once()

    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert [state for state, _ in told(api)] == ["failed", "stored"]
    assert left(tmp_path) == []


async def test_the_last_round_waits_for_no_pause(
    api: CallbackApi, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 600.0)
    s3.refusal = 403
    await recorded(api, tmp_path)
    uploads = Uploads(tmp_path, RecordingStore("s3://bucket/calls"))
    await uploads.once()
    s3.refusal = None

    await uploads.once()
    assert s3.objects == {}, "its pause is not over"
    await uploads.once(pausing=True)

    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert left(tmp_path) == []


async def test_the_last_round_waits_for_the_one_that_is_under_way(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    await recorded(api, tmp_path)
    uploads = Uploads(tmp_path, RecordingStore("s3://bucket/calls"))
    s3.open.clear()
    under_way = asyncio.create_task(uploads.once())
    await eventually(lambda: s3.asked != [])

    last = asyncio.create_task(uploads.once(pausing=True))
    done, _ = await asyncio.wait([last], timeout=0.2)
    assert not done, "the process would end in the middle of the upload"
    s3.open.set()
    await last

    assert under_way.done()
    assert s3.asked == [f"PUT bucket/calls/{PATH}"]
    assert left(tmp_path) == []


async def test_an_agent_server_that_is_stopped_stores_what_it_still_has(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    s3.refusal = 403
    spool, log = tmp_path / "spool", tmp_path / "agent.log"
    await recorded(api, spool)
    environment = {
        "LIVEKIT_URL": "ws://127.0.0.1:1",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "a-secret-for-tests-of-at-least-32-characters",
        "EVERLINE_SPOOL_DIR": str(spool),
        "EVERLINE_RECORDINGS_URL": "s3://bucket/calls",
        "EVERLINE_DRAIN_SECONDS": "0",
    }
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent.server.main"),
            env={**os.environ, **environment},
            stdout=written,
            stderr=written,
        )
    try:
        # By then the next try is four seconds away, at least.
        await eventually(lambda: log.read_bytes().count(b"spool_entry_delayed") >= 3, 120)
        s3.refusal = None
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode == 0, log.read_text()
    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert left(spool) == []


async def test_an_api_that_is_away_does_not_have_it_sent_twice(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    await recorded(api, tmp_path)
    api.outage = 503
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).once()
    assert len(left(tmp_path)) == 1
    api.outage = None

    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).once()

    assert s3.asked == [f"PUT bucket/calls/{PATH}"]
    assert told(api)[-1] == ("stored", None)
    assert left(tmp_path) == []


async def test_what_a_killed_job_had_recorded_is_stored(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    entry = new_entry(tmp_path, target(api))
    entry.announce_recording(pending())
    entry.sound.write_bytes(SOUND)
    append(entry, turn_record(0))
    entry.release()  # as its death does

    await Drainer(tmp_path).once()
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).once()

    assert len(api.turns) == 1
    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert told(api) == [("stored", None)]
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("sound", "why"),
    [
        (None, "nothing was recorded"),
        (b"", "its agent was lost before any of it was written"),
    ],
)
async def test_a_recording_without_sound_has_failed(
    api: CallbackApi, tmp_path: Path, sound: bytes | None, why: str
) -> None:
    await recorded(api, tmp_path / "spool", sound)

    await Uploads(tmp_path / "spool", RecordingStore((tmp_path / "k").as_uri())).once()

    assert told(api) == [("failed", why)]
    assert left(tmp_path / "spool") == []


async def test_after_days_of_failures_it_is_given_up(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    s3.refusal = 403
    begun = datetime.now(UTC) - GIVE_UP_AFTER - timedelta(minutes=1)
    await recorded(api, tmp_path, begun=begun)

    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).once()

    assert [state for state, _ in told(api)] == ["failed"]
    assert left(tmp_path) == []


async def test_without_a_storage_it_says_so(api: CallbackApi, tmp_path: Path) -> None:
    await recorded(api, tmp_path)

    await Uploads(tmp_path, None).once()

    assert told(api) == [("failed", "EVERLINE_RECORDINGS_URL is not set")]
    assert len(left(tmp_path)) == 1, "somebody may set it yet"


async def test_an_unreadable_entry_is_put_on_the_shelf_and_the_next_one_stored(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    broken = tmp_path / "recordings" / "a-broken-one"
    broken.mkdir(parents=True)
    (broken / "target.json").write_text("{")
    (broken / "sound.ogg").write_bytes(SOUND)
    await recorded(api, tmp_path)

    uploads = Uploads(tmp_path, RecordingStore("s3://bucket/calls"))
    await uploads.once()
    await uploads.once()

    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert left(tmp_path) == []
    assert (tmp_path / "rejected" / "a-broken-one" / "reason.txt").read_text()


@pytest.fixture
async def egress() -> AsyncGenerator[Egress]:
    async with Egress() as service:
        yield service


@pytest.fixture
async def lk(egress: Egress) -> AsyncGenerator[LiveKitConnection]:
    secret = "a-secret-of-at-least-32-characters-"
    async with LiveKitConnection(egress.url, "key", secret) as lk:
        yield lk


async def killed_while_egress_recorded(
    api: CallbackApi, egress: Egress, lk: LiveKitConnection, spool: Path
) -> EgressInfo:
    """A job that died in mid-call, and what LiveKit has of its recording."""
    egress.present[ROOM] = {"agent-AJ_1", "caller"}
    path = PATH.replace(".ogg", "-egress.ogg")
    egress_id = await record_room(lk, ROOM, "s3://bucket", path)
    entry = new_entry(spool, target(api))
    entry.announce_recording(
        pending().model_copy(update={"path": path, "egress_id": egress_id, "spool": "d1"})
    )
    entry.release()
    [info] = egress.infos
    egress.joins(info)
    await Drainer(spool).once()
    return info


async def test_what_egress_made_of_a_killed_job_is_told_without_its_webhook(
    api: CallbackApi, egress: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    info = await killed_while_egress_recorded(api, egress, lk, tmp_path)
    await Uploads(tmp_path, None, lk).once()
    assert told(api) == [("pending", None)], "so the transcript knows that there is one"

    info.status = EgressStatus.EGRESS_COMPLETE
    info.file_results[0].size = 4_711
    await Uploads(tmp_path, None, lk).once()

    assert told(api)[-1] == ("stored", None)
    assert api.of("recording")[-1].body["bytes"] == 4_711
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (EgressStatus.EGRESS_FAILED, "LiveKit's egress service: no disk"),
        (EgressStatus.EGRESS_ABORTED, "LiveKit's egress service: EGRESS_ABORTED"),
        (EgressStatus.EGRESS_ACTIVE, "LiveKit's egress service left during the call"),
        (None, "LiveKit does not know it any more"),
    ],
)
async def test_why_egress_made_nothing_is_told_without_its_webhook(
    api: CallbackApi,
    egress: Egress,
    lk: LiveKitConnection,
    tmp_path: Path,
    status: EgressStatus | None,
    error: str,
) -> None:
    info = await killed_while_egress_recorded(api, egress, lk, tmp_path)
    egress.dies(info)
    if status is None:
        egress.infos.clear()
    else:
        info.status = status
        info.error = "no disk" if status is EgressStatus.EGRESS_FAILED else ""

    await Uploads(tmp_path, None, lk).once()

    assert told(api) == [("failed", error)]
    assert left(tmp_path) == []


async def test_a_service_that_is_gone_from_an_empty_room_gets_time_for_its_last_word(
    api: CallbackApi,
    egress: Egress,
    lk: LiveKitConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await killed_while_egress_recorded(api, egress, lk, tmp_path)
    egress.present.clear()
    # Every look is due at once.
    monkeypatch.setattr("agent.spool.rounds.SCAN_SECONDS", 0.0)
    uploads = Uploads(tmp_path, None, lk)

    await uploads.once()
    assert told(api) == [("pending", None)]
    monkeypatch.setattr("agent.spool.uploads.LEFT_SECONDS", 0.0)

    async def gone() -> bool:
        await uploads.once()
        return left(tmp_path) == []

    await eventually(gone, 60, "it is given up")
    assert told(api)[-1] == ("failed", "LiveKit's egress service left during the call")


async def test_while_livekit_does_not_tell_it_is_asked_again(
    api: CallbackApi, egress: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    await killed_while_egress_recorded(api, egress, lk, tmp_path)
    egress.refusal = "internal"

    await Uploads(tmp_path, None, lk).once()

    assert told(api) == [("pending", None)]
    assert len(left(tmp_path)) == 1


async def test_a_disk_keeps_its_id(tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"

    assert spool_id(spool) == spool_id(spool) != spool_id(other)
    assert [path.name for path in spool.iterdir()] == [".id"]
