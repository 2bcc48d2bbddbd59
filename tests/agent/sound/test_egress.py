"""What LiveKit's egress service is asked for, and what happens where there is none."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from livekit.protocol.egress import AudioMixing, EgressStatus, EncodedFileType

from adapters.livekit.connection import LiveKitConnection
from agent.sound import egress
from agent.sound.egress import EgressRefused, record_room
from agent.sound.recording import CallRecorder
from domain.recordings.recording import CallRecording, RecordingState, recording_at
from tests.agent.samples import new_entry, target_of_nobody
from tests.fakes.egress import Egress

ROOM, PATH = "acme.front", "acme/s-1/1-AJ.ogg"
SOUND = b"OggS, and what was said"


@pytest.fixture
async def service() -> AsyncGenerator[Egress]:
    async with Egress() as service:
        yield service


@pytest.fixture
async def lk(service: Egress) -> AsyncGenerator[LiveKitConnection]:
    secret = "a-secret-of-at-least-32-characters-"
    async with LiveKitConnection(service.url, "key", secret) as lk:
        yield lk


async def test_the_sound_of_the_room_goes_to_s3(
    service: Egress, lk: LiveKitConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://minio.test")

    assert await record_room(lk, ROOM, "s3://bucket/calls/", PATH)

    [order] = service.orders
    [file] = order.file_outputs
    assert (order.room_name, order.audio_only) == (ROOM, True)
    assert order.audio_mixing == AudioMixing.DUAL_CHANNEL_AGENT
    assert (file.filepath, file.file_type) == (f"calls/{PATH}", EncodedFileType.OGG)
    s3 = file.s3
    assert (s3.bucket, s3.region, s3.access_key, s3.secret) == (
        *("bucket", "eu-central-1", "AKIA", "hush"),
    )
    assert (s3.endpoint, s3.force_path_style) == ("https://minio.test", True)


async def test_a_directory_is_written_by_the_service_itself(
    service: Egress, lk: LiveKitConnection
) -> None:
    assert await record_room(lk, ROOM, "file:///srv/with%20space", PATH)

    [file] = service.orders[0].file_outputs
    assert file.filepath == f"/srv/with space/{PATH}"
    assert not file.HasField("s3")


async def test_a_room_is_recorded_once_whatever_the_attempt(
    service: Egress, lk: LiveKitConnection
) -> None:
    assert await record_room(lk, ROOM, "s3://bucket", PATH)
    assert not await record_room(lk, ROOM, "s3://bucket", "acme/s-1/2-AJ.ogg")
    assert await record_room(lk, "acme.other", "s3://bucket", PATH)
    assert len(service.orders) == 2


async def test_what_a_killed_service_left_keeps_no_room_from_being_recorded(
    service: Egress, lk: LiveKitConnection
) -> None:
    service.present[ROOM] = {"agent-AJ", "caller"}
    assert await record_room(lk, ROOM, "s3://bucket", PATH) == "EG_1"
    service.joins(service.infos[0])
    assert await record_room(lk, ROOM, "s3://bucket", "acme/s-1/2-AJ.ogg") is None

    service.dies(service.infos[0])

    assert await record_room(lk, ROOM, "s3://bucket", "acme/s-1/2-AJ.ogg") == "EG_2"
    service.infos[1].updated_at -= round((egress.START_SECONDS + 1) * 1e9)
    assert await record_room(lk, ROOM, "s3://bucket", "acme/s-1/3-AJ.ogg") == "EG_3"


@pytest.mark.parametrize("ahead", [600.0, -600.0])
async def test_whether_a_service_is_starting_is_told_by_livekits_clock(
    service: Egress, lk: LiveKitConnection, ahead: float
) -> None:
    service.ahead = ahead
    service.present[ROOM] = {"agent-AJ", "caller"}
    assert await record_room(lk, ROOM, "s3://bucket", PATH) == "EG_1"
    assert await record_room(lk, ROOM, "s3://bucket", "acme/s-1/2-AJ.ogg") is None

    service.infos[0].updated_at -= round((egress.START_SECONDS + 10) * 1e9)
    assert await record_room(lk, ROOM, "s3://bucket", "acme/s-1/3-AJ.ogg") == "EG_2"


async def test_without_a_service_it_is_told(
    service: Egress, lk: LiveKitConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in ("unavailable", "internal", "invalid_argument"):
        service.refusal = code
        with pytest.raises(EgressRefused, match=code):
            await record_room(lk, ROOM, "s3://bucket", PATH)
    with pytest.raises(EgressRefused, match="gs://"):
        await record_room(lk, ROOM, "gs://bucket", PATH)
    service.refusal, service.silent = None, True
    monkeypatch.setattr(egress, "ANSWER_SECONDS", 0.5)
    with pytest.raises(EgressRefused, match="no answer"):
        await record_room(lk, ROOM, "s3://bucket", PATH)


async def test_a_call_knows_at_its_end_that_its_service_was_killed(
    service: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    service.present[ROOM] = {"agent-AJ", "caller"}
    recorder = await handed_over(lk, tmp_path)
    [info] = service.infos
    assert recorder.recording is not None
    path = recorder.recording.path
    assert info.file_results[0].filename == path == "acme/s-1/1-AJ-egress.ogg"
    assert recording_at(path) is not None, "the webhook's file is known"
    service.joins(info)
    assert await _state(recorder) is RecordingState.PENDING, "it is in the room"

    service.dies(info)
    recording = await recorder.aclose()
    assert recording is not None
    assert recording.state is RecordingState.FAILED
    assert recording.error == "LiveKit's egress service left during the call"

    info.status = EgressStatus.EGRESS_ENDING
    assert await _state(recorder) is RecordingState.PENDING, "it left with a word"
    info.status = EgressStatus.EGRESS_ACTIVE
    service.present.clear()
    assert await _state(recorder) is RecordingState.PENDING, "the room is closed"
    service.refusal = "internal"
    assert await _state(recorder) is RecordingState.PENDING, "LiveKit does not tell"


async def test_a_service_that_never_came_into_the_room_has_failed(
    service: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    service.present[ROOM] = {"agent-AJ", "caller"}
    recorder = await handed_over(lk, tmp_path)
    [info] = service.infos
    assert await _state(recorder) is RecordingState.PENDING, "it is on its way"

    info.updated_at -= round((egress.START_SECONDS + 1) * 1e9)

    assert await _state(recorder) is RecordingState.FAILED


async def test_where_no_service_takes_it_the_agent_goes_on_recording(
    service: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    service.refusal = "unavailable"
    recorder = await handed_over(lk, tmp_path)

    assert recorder.recording is not None
    assert recorder.recording.path == "acme/s-1/1-AJ.ogg"
    [entry] = entries(tmp_path)
    assert (entry / "recording.ogg").read_bytes() == SOUND
    assert PATH in (entry / "recording.json").read_text()


async def test_the_next_agent_in_a_recorded_room_leaves_nothing_behind(
    service: Egress, lk: LiveKitConnection, tmp_path: Path
) -> None:
    await record_room(lk, ROOM, "s3://bucket", PATH)
    recorder = await handed_over(lk, tmp_path)

    assert await recorder.aclose() is None
    [entry] = entries(tmp_path)
    assert not list(entry.glob("recording.*"))


def entries(spool: Path) -> list[Path]:
    return list(spool.glob("*-*"))


async def handed_over(lk: LiveKitConnection, spool: Path) -> CallRecorder:
    """A recorder that had begun itself, after LiveKit's answer."""
    entry = new_entry(spool, target_of_nobody())
    own = CallRecording(attempt=1, state=RecordingState.PENDING, path=PATH)
    entry.announce_recording(own)
    entry.sound.write_bytes(SOUND)
    recorder = CallRecorder(entry, own)
    await recorder.hand_over(lk, ROOM, "s3://bucket")
    return recorder


async def _state(recorder: CallRecorder) -> RecordingState | None:
    recording = await recorder.aclose()
    return recording.state if recording else None
