"""Time limits and error mapping of operations on MongoDB.

Messages name only the kind of failure: the driver's text quotes documents, which hold transcripts.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    PyMongoError,
)
from pymongo.errors import OperationFailure as RefusedOperation

from domain.errors import EverlineError, InvalidInput, StorageUnavailable

OPERATION_SECONDS = 6.0
"""Time limit of one operation; MongoDB may still complete it later."""

_TOO_LARGE = frozenset({10334, 17419, 17420})
"""BSONObjectTooLarge, and its two forms for updates."""
_NOT_ALLOWED = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, and Atlas's form of both."""
_CURE = "check MONGODB_URI, and that MongoDB runs"


class AlreadyStored(StorageUnavailable):
    """Another document has this id or unique value; if nobody expects that, it is a failure."""


@asynccontextmanager
async def storage_errors(operation: str) -> AsyncGenerator[None]:
    """Limit the time of an operation, and map the driver's errors to Everline's.

    `operation` is a verb phrase that reads after "MongoDB did not".

    Raises:
        AlreadyStored: a unique index has the document's id or value.
        StorageUnavailable: MongoDB is away, too slow, read-only, full, or refuses our credentials.
        InvalidInput: a document is larger than MongoDB's 16 MB.
    """
    try:
        # The driver's own limits add up over its retry and the search for another primary.
        async with asyncio.timeout(OPERATION_SECONDS):
            yield
    except (TimeoutError, DocumentTooLarge, PyMongoError) as error:
        raise _meaning(error, operation) from None


def _meaning(error: Exception, operation: str) -> EverlineError:
    codes = _codes(error) if isinstance(error, RefusedOperation) else set[int]()
    if isinstance(error, DocumentTooLarge) or codes & _TOO_LARGE:
        return InvalidInput(f"MongoDB cannot {operation}: a document is larger than 16 MB")
    if isinstance(error, DuplicateKeyError):
        return AlreadyStored(f"MongoDB did not {operation}: the key is taken")
    if isinstance(error, TimeoutError):
        problem = f"MongoDB did not {operation} within {OPERATION_SECONDS:g} s"
        return StorageUnavailable(problem, cure=_CURE)
    cure = "check the user and the password of MONGODB_URI" if codes & _NOT_ALLOWED else None
    kind = f"{type(error).__name__}, code {sorted(codes)}" if codes else type(error).__name__
    return StorageUnavailable(
        f"MongoDB did not {operation}: {kind}",
        cure=_CURE if isinstance(error, ConnectionFailure) else cure,
    )


def is_duplicate(error: BulkWriteError) -> bool:
    """Whether the only failure is that another writer inserted the same ids first."""
    return _codes(error) == {11000}


def _codes(error: RefusedOperation) -> set[int]:
    if isinstance(error, BulkWriteError):
        faults = (error.details or {}).get("writeErrors", [])
        return {int(fault.get("code", 0)) for fault in faults}
    return {error.code or 0}
