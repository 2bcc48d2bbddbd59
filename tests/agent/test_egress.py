"""What LiveKit's egress service is asked for, and what happens where there is none."""

from collections.abc import AsyncGenerator

import pytest
from livekit.api import LiveKitAPI
from livekit.protocol.egress import AudioMixing, EncodedFileType

from agent.egress import EgressRefused, record_room
from tests.fakes.egress import Egress

ROOM, PATH = "acme.front", "acme/s-1/1-AJ.ogg"


@pytest.fixture
async def service() -> AsyncGenerator[Egress]:
    async with Egress() as service:
        yield service


@pytest.fixture
async def lk(service: Egress) -> AsyncGenerator[LiveKitAPI]:
    async with LiveKitAPI(
        service.url, "key", "a-secret-of-at-least-32-characters-", failover=False
    ) as lk:
        yield lk


async def test_the_sound_of_the_room_goes_to_s3(
    service: Egress, lk: LiveKitAPI, monkeypatch: pytest.MonkeyPatch
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
    service: Egress, lk: LiveKitAPI
) -> None:
    assert await record_room(lk, ROOM, "file:///srv/with%20space", PATH)

    [file] = service.orders[0].file_outputs
    assert file.filepath == f"/srv/with space/{PATH}"
    assert not file.HasField("s3")


async def test_a_room_is_recorded_once_whatever_the_attempt(
    service: Egress, lk: LiveKitAPI
) -> None:
    assert await record_room(lk, ROOM, "s3://bucket", PATH)
    assert not await record_room(lk, ROOM, "s3://bucket", "acme/s-1/2-AJ.ogg")
    assert await record_room(lk, "acme.other", "s3://bucket", PATH)
    assert len(service.orders) == 2


async def test_without_a_service_it_is_told(service: Egress, lk: LiveKitAPI) -> None:
    service.refusal = "unavailable"
    with pytest.raises(EgressRefused, match="unavailable"):
        await record_room(lk, ROOM, "s3://bucket", PATH)
    with pytest.raises(EgressRefused, match="gs://"):
        await record_room(lk, ROOM, "gs://bucket", PATH)
