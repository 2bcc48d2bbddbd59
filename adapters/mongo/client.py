"""The connection to MongoDB: every write is acknowledged by a majority and journaled."""

import os
from typing import Any

# Motor reads it when it is imported. Each operation holds a thread until MongoDB has answered, and
# by default there are five for each CPU: a few slow queries of one org would stop heartbeats,
# leases and everybody else's reads.
os.environ.setdefault("MOTOR_MAX_WORKERS", "100")

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
    """A client that connects on first use; `MongoMisconfigured` if the URI is malformed.

    The options above override those in the URI.
    """
    try:
        if not uri.startswith(("mongodb://", "mongodb+srv://")):
            raise InvalidURI
        return AsyncIOMotorClient(uri, **_OPTIONS)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        # The URI holds a password, and the driver's message may quote it.
        raise MongoMisconfigured(
            f"MONGODB_URI is not a MongoDB URI ({type(error).__name__})",
            field="MONGODB_URI",
            cure="use mongodb://user:password@host:port or mongodb+srv://user:password@host",
        ) from None
