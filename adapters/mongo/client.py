"""The connection to MongoDB: every write is acknowledged by a majority and journaled."""

from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import ConfigurationError, InvalidURI

from adapters.mongo.documents import Document
from domain.errors import EverlineError

Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]

SERVER_SELECTION_MS = 2_000
"""How long a request waits for a primary before MongoDB counts as unavailable."""
ANSWER_MS = 4_000
"""Time limit of one answer; the driver retries once where that is safe."""

_OPTIONS: dict[str, Any] = {
    "appname": "everline",
    "w": "majority",
    "journal": True,
    "serverSelectionTimeoutMS": SERVER_SELECTION_MS,
    "connectTimeoutMS": SERVER_SELECTION_MS,
    # Not `timeoutMS`: it would also be the wait for a dead server.
    "socketTimeoutMS": ANSWER_MS,
    "waitQueueTimeoutMS": SERVER_SELECTION_MS,
    "tz_aware": True,
    "uuidRepresentation": "standard",
}


class MongoMisconfigured(EverlineError):
    """`MONGODB_URI` is malformed."""

    code = "mongo_misconfigured"


def connect(uri: str) -> Client:
    """A client that connects on first use; the options above override those in the URI.

    Raises:
        MongoMisconfigured: the URI is malformed.
    """
    if not uri.startswith(("mongodb://", "mongodb+srv://")):
        raise _malformed("scheme")
    try:
        return AsyncIOMotorClient(uri, **_OPTIONS)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        # The URI holds a password, and the driver's message may quote it.
        raise _malformed(type(error).__name__) from None


def _malformed(fault: str) -> MongoMisconfigured:
    return MongoMisconfigured(
        f"MONGODB_URI is not a MongoDB URI ({fault})",
        field="MONGODB_URI",
        cure="use mongodb://user:password@host:port or mongodb+srv://user:password@host",
    )
