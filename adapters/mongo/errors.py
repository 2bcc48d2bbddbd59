"""Operations on MongoDB: bounded, and what their failures mean.

Messages name the kind of failure only: what the driver says about a write quotes the document, and
that is transcript text.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pymongo.errors import BulkWriteError, ConnectionFailure, DocumentTooLarge, PyMongoError
from pymongo.errors import OperationFailure as RefusedOperation

from domain.errors import InvalidInput, StorageUnavailable

OPERATION_SECONDS = 6.0
"""Time limit of one operation; what was sent may still be done."""

_TOO_LARGE = frozenset({10334, 17419, 17420})
"""BSONObjectTooLarge, and its two forms for updates."""
_NOT_ALLOWED = frozenset({13, 18, 8000})
"""Unauthorized, AuthenticationFailed, and Atlas's form of both."""
_THERE = "check MONGODB_URI, and that MongoDB runs"


@asynccontextmanager
async def storage_errors(operation: str) -> AsyncGenerator[None]:
    """Bound an operation, and turn what the driver raises into Everline's errors.

    Args:
        operation: what is done, as it reads after "MongoDB did not".

    Raises:
        StorageUnavailable: MongoDB is away, too slow, read-only, full, or refuses our credentials.
        InvalidInput: a document is larger than MongoDB's 16 MB.
    """
    try:
        # The driver's own limits add up over its retry and the search for another primary.
        async with asyncio.timeout(OPERATION_SECONDS):
            yield
    except TimeoutError:
        raise StorageUnavailable(
            f"MongoDB did not {operation} within {OPERATION_SECONDS:g} s", cure=_THERE
        ) from None
    except DocumentTooLarge:
        raise _too_large(operation) from None
    except ConnectionFailure as error:
        raise StorageUnavailable(
            f"MongoDB did not {operation}: {_kind(error)}", cure=_THERE
        ) from error
    except RefusedOperation as error:
        codes = _codes(error)
        if codes & _TOO_LARGE:
            raise _too_large(operation) from None
        raise StorageUnavailable(
            f"MongoDB did not {operation}: {_kind(error)}, code {sorted(codes)}",
            cure="check the user and the password of MONGODB_URI" if codes & _NOT_ALLOWED else None,
        ) from None
    except PyMongoError as error:
        raise StorageUnavailable(f"MongoDB did not {operation}: {_kind(error)}") from None


def is_duplicate(error: BulkWriteError) -> bool:
    """Whether all that went wrong is that another writer inserted the same ids first."""
    return _codes(error) == {11000}


def _codes(error: RefusedOperation) -> set[int]:
    if isinstance(error, BulkWriteError):
        faults = (error.details or {}).get("writeErrors", [])
        return {int(fault.get("code", 0)) for fault in faults}
    return {error.code or 0}


def _kind(error: PyMongoError) -> str:
    return type(error).__name__


def _too_large(operation: str) -> InvalidInput:
    return InvalidInput(f"too large: MongoDB cannot {operation} of more than 16 MB")
