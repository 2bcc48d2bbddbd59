"""The storage of recordings: a directory, and S3 over the wire."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from adapters.recordings import RecordingStore, check_recordings_url
from domain.errors import InvalidInput, Unavailable
from tests.fakes.s3 import S3, SECRET_KEY


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[S3]:
    async with S3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "recording.ogg"
    file.write_bytes(b"sound")
    return file


async def test_a_directory_keeps_and_forgets(tmp_path: Path, file: Path) -> None:
    store = RecordingStore((tmp_path / "with space").as_uri())

    assert await store.put("acme/s/1.ogg", file) == 5
    assert await store.link("acme/s/1.ogg", 60) is None
    found = store.local_file("acme/s/1.ogg")
    assert found is not None
    assert found.read_bytes() == b"sound"
    await store.delete("acme/s/1.ogg")
    await store.delete("acme/s/1.ogg")
    assert store.local_file("acme/s/1.ogg") is None


async def test_no_path_leads_out_of_the_directory(tmp_path: Path, file: Path) -> None:
    store = RecordingStore((tmp_path / "kept").as_uri())
    assert store.local_file("../recording.ogg") is None


async def test_s3_keeps_links_and_forgets(s3: S3, file: Path) -> None:
    store = RecordingStore("s3://bucket/calls")

    assert await store.put("acme/s/1.ogg", file) == 5
    assert s3.types == {"bucket/calls/acme/s/1.ogg": "audio/ogg"}
    link = await store.link("acme/s/1.ogg", 60)
    assert link is not None
    assert SECRET_KEY not in link
    async with httpx.AsyncClient(timeout=60) as anybody:
        assert (await anybody.get(link)).content == b"sound"
        assert (await anybody.get(link.partition("?")[0])).status_code == 403
    assert store.local_file("acme/s/1.ogg") is None
    await store.delete("acme/s/1.ogg")
    assert s3.objects == {}


async def test_a_refusal_is_told_without_secrets(s3: S3, file: Path) -> None:
    s3.refusal = 403
    with pytest.raises(Unavailable) as refused:
        await RecordingStore("s3://bucket/calls").put("acme/s/1.ogg", file)
    assert "403" in refused.value.message
    assert SECRET_KEY not in refused.value.message


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path, file: Path) -> None:
    store = RecordingStore((tmp_path / "kept").as_uri())
    (tmp_path / "kept" / "acme").write_text("a file where a directory has to be")
    with pytest.raises(Unavailable):
        await store.put("acme/s/1.ogg", file)


@pytest.mark.parametrize(
    "url", ["", "/srv/recordings", "file://", "ftp://host/x", "s3://", "s3://key:secret@bucket/x"]
)
def test_a_url_that_names_no_storage_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_recordings_url(url)
