"""Storage of recordings: a directory or an object store, named by one URL.

`file:///var/lib/everline/recordings`, or `s3://bucket/prefix` with its credentials, region and
endpoint from the usual variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
`AWS_ENDPOINT_URL` …); `gs://` and `az://` likewise with theirs.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url
from typing_extensions import override

from domain.errors import InvalidInput, Unavailable
from domain.transcripts.ports import RecordingFiles

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

SCHEMES = ("file", "s3", "gs", "az")
URL_VARIABLE = "EVERLINE_RECORDINGS_URL"
AUDIO_TYPE = "audio/ogg"
_TIMEOUT = timedelta(seconds=60)
_RETRIES = 2


class RecordingStore(RecordingFiles):
    """The recordings of one installation; paths are relative to its URL."""

    def __init__(self, url: str) -> None:
        """Open the storage, without a connection; `InvalidInput` if the URL is malformed."""
        parts = urlsplit(check_recordings_url(url))
        client: ClientConfig = {
            "timeout": _TIMEOUT,
            "connect_timeout": timedelta(seconds=5),
            # Only an endpoint that the operator gives as http is http.
            "allow_http": True,
        }
        retry: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": _TIMEOUT}
        self._directory = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._url = url
        try:
            self._store = (
                LocalStore(self._directory, mkdir=True)
                if self._directory
                else from_url(url, client_options=client, retry_config=retry)
            )
        except (BaseError, ValueError, OSError) as error:
            raise InvalidInput(
                f"the recording storage cannot be opened: {_reason(error)}", field=URL_VARIABLE
            ) from None

    async def put(self, path: str, file: Path) -> int:
        """Store a file, or replace it; returns its size in bytes. Raises `Unavailable`."""
        size = (await asyncio.to_thread(file.stat)).st_size
        # Directories store no content type.
        attributes = None if self._directory else {"Content-Type": AUDIO_TYPE}
        with _storage_errors("take a recording"):
            await obstore.put_async(self._store, path, file, attributes=attributes)
        return size

    async def link(self, path: str, seconds: int) -> str | None:
        """A temporary public URL; None for a directory, `Unavailable` without credentials."""
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        with _storage_errors("make a link"):
            return await obstore.sign_async(self._store, "GET", path, timedelta(seconds=seconds))

    def local_file(self, path: str) -> Path | None:
        """The file of a recording in a directory; None if it is missing, or for other storage."""
        if self._directory is None:
            return None
        file = (self._directory / path).resolve()
        inside = file.is_relative_to(self._directory.resolve())
        return file if inside and file.is_file() else None

    @override
    async def delete(self, path: str) -> None:
        with _storage_errors("delete a recording"), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, path)


def check_recordings_url(url: str) -> str:
    """Return the URL; `InvalidInput` if it cannot name a recording storage."""
    parts = urlsplit(url)
    complete = parts.path.strip("/") if parts.scheme == "file" else parts.netloc
    if parts.scheme not in SCHEMES or not complete or parts.username or parts.query:
        raise InvalidInput(
            "must be file:///directory or s3://bucket/prefix (gs:// and az:// likewise);"
            " credentials come from their own variables",
            field=URL_VARIABLE,
        )
    return url


@contextmanager
def _storage_errors(what: str) -> Generator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise Unavailable(f"the recording storage did not {what}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The first line of an error: the rest repeats the request with its headers."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
