"""Recordings reach their storage, whatever happens to the job, to the storage or to the API."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.recordings import RecordingStore
from agent.callbacks import CallbackClient
from agent.spool import Drainer, Outbox, SpoolEntry, Uploads
from agent.spool.uploads import GIVE_UP_AFTER
from domain.recording import CallRecording, RecordingState
from tests.agent.samples import report_record, target, turn_record
from tests.fakes.callback_api import CallbackApi
from tests.fakes.s3 import S3

SOUND = b"OggS, and what was said"
PATH = "local/s1/1-AJ_1.ogg"


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
    entry = SpoolEntry.create(spool, target(api))
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

    await Uploads(spool, RecordingStore(url)).upload_once()

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

    await uploads.upload_once()
    refused = len(s3.asked)
    await uploads.upload_once()
    [(state, error)] = told(api)
    assert state == "failed"
    assert "the storage of recordings did not take a recording" in (error or "")
    assert len(s3.asked) == refused, "not before its pause is over"

    s3.refusal = None
    # The next agent server on the same directory tries it at once.
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).upload_once()

    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert [state for state, _ in told(api)] == ["failed", "stored"]
    assert left(tmp_path) == []


async def test_an_api_that_is_away_does_not_have_it_sent_twice(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    await recorded(api, tmp_path)
    api.outage = 503
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).upload_once()
    assert len(left(tmp_path)) == 1
    api.outage = None

    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).upload_once()

    assert s3.asked == [f"PUT bucket/calls/{PATH}"]
    assert told(api)[-1] == ("stored", None)
    assert left(tmp_path) == []


async def test_what_a_killed_job_had_recorded_is_stored(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    entry = SpoolEntry.create(tmp_path, target(api))
    entry.announce_recording(pending())
    entry.sound.write_bytes(SOUND)
    entry.append(turn_record(0))
    entry.release()  # as its death does

    await Drainer(tmp_path).drain_once()
    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).upload_once()

    assert len(api.turns) == 1
    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert told(api) == [("stored", None)]
    assert left(tmp_path) == []


@pytest.mark.parametrize("sound", [None, b""])
async def test_a_recording_without_sound_has_failed(
    api: CallbackApi, tmp_path: Path, sound: bytes | None
) -> None:
    await recorded(api, tmp_path / "spool", sound)

    await Uploads(tmp_path / "spool", RecordingStore((tmp_path / "k").as_uri())).upload_once()

    assert told(api) == [("failed", "nothing was recorded")]
    assert left(tmp_path / "spool") == []


async def test_after_days_of_failures_it_is_given_up(
    api: CallbackApi, s3: S3, tmp_path: Path
) -> None:
    s3.refusal = 403
    begun = datetime.now(UTC) - GIVE_UP_AFTER - timedelta(minutes=1)
    await recorded(api, tmp_path, begun=begun)

    await Uploads(tmp_path, RecordingStore("s3://bucket/calls")).upload_once()

    assert [state for state, _ in told(api)] == ["failed"]
    assert left(tmp_path) == []


async def test_without_a_storage_it_says_so(api: CallbackApi, tmp_path: Path) -> None:
    await recorded(api, tmp_path)

    await Uploads(tmp_path, None).upload_once()

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
    await uploads.upload_once()
    await uploads.upload_once()

    assert s3.objects[f"bucket/calls/{PATH}"] == SOUND
    assert left(tmp_path) == []
    assert (tmp_path / "rejected" / "a-broken-one" / "reason.txt").read_text()
