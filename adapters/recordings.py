"""Storage of recordings: a directory or an object store, named by one URL.

`file:///var/lib/everline/recordings`, or `s3://bucket/prefix` with its credentials, region and
endpoint from the usual variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
`AWS_ENDPOINT_URL` …); `gs://` and `az://` likewise with theirs.
"""

import asyncio
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
        """Open the storage without connecting to it.

        Raises:
            InvalidInput: the URL or its credentials are malformed.
        """
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
        """Store a file; the same path again replaces it. Returns its size in bytes.

        Raises:
            Unavailable: the storage did not take it, with its reason.
        """
        size = (await asyncio.to_thread(file.stat)).st_size
        try:
            await obstore.put_async(self._store, path, file, attributes=self._attributes())
        except (BaseError, OSError) as error:
            raise _unavailable("take a recording", error) from None
        return size

    async def link(self, path: str, seconds: int) -> str | None:
        """A temporary public URL of a recording; None for a directory.

        Raises:
            Unavailable: no link can be made, for example without credentials.
        """
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        try:
            return await obstore.sign_async(self._store, "GET", path, timedelta(seconds=seconds))
        except (BaseError, ValueError) as error:
            raise _unavailable("make a link", error) from None

    def local_file(self, path: str) -> Path | None:
        """The file of a recording in a directory; None if it is missing, or for other storage."""
        if self._directory is None:
            return None
        file = (self._directory / path).resolve()
        inside = file.is_relative_to(self._directory.resolve())
        return file if inside and file.is_file() else None

    @override
    async def delete(self, path: str) -> None:
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise _unavailable("delete a recording", error) from None

    def _attributes(self) -> dict[str, str] | None:
        # Directories store no content type.
        return None if self._directory else {"Content-Type": AUDIO_TYPE}


def check_recordings_url(url: str) -> str:
    """Return the URL if it can name a recording storage.

    Raises:
        InvalidInput: it cannot.
    """
    parts = urlsplit(url)
    complete = parts.path.strip("/") if parts.scheme == "file" else parts.netloc
    if parts.scheme not in SCHEMES or not complete or parts.username or parts.query:
        raise InvalidInput(
            "must be file:///directory or s3://bucket/prefix (gs:// and az:// likewise);"
            " credentials come from their own variables",
            field=URL_VARIABLE,
        )
    return url


def _unavailable(what: str, error: Exception) -> Unavailable:
    return Unavailable(f"the recording storage did not {what}: {_reason(error)}")


def _reason(error: Exception) -> str:
    """The first line of an error: the rest repeats the request with its headers."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
