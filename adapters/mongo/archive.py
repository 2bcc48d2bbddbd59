"""Everything that Everline keeps in MongoDB, as one thing to wire."""

import asyncio
from typing import Self

import structlog

from adapters.encryption import EncryptionCodec
from adapters.mongo.agent_servers import MongoAgentServers
from adapters.mongo.agents import MongoAgents
from adapters.mongo.api_keys import MongoApiKeys
from adapters.mongo.client import Client, connect
from adapters.mongo.errors import storage_errors
from adapters.mongo.indexes import ensure_indexes
from adapters.mongo.sessions import MongoSessions
from adapters.mongo.slots import MongoSlots
from adapters.mongo.summaries import MongoSummaries
from adapters.mongo.transcripts import MongoTranscripts
from adapters.settings import ArchiveSettings
from domain.errors import Unavailable

log = structlog.get_logger()

RETRY_SECONDS = 2.0


class MongoArchive:
    """The repositories of one database; nothing connects before it is used.

    Attributes:
        sessions: the ports `SessionArchive`, `SessionRecords` and `SessionHistory`.
        transcripts: the port `TranscriptArchive`.
        summaries: the port `SummaryArchive`.
        agent_servers: the port `AgentServers`.
        api_keys: the ports `ApiKeys` and `ApiKeyStore`.
        slots: the ports `Slots` and `AllSlots`.
    """

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = client[database]
        self.sessions = MongoSessions(self._database)
        self.transcripts = MongoTranscripts(self._database)
        self.summaries = MongoSummaries(self._database)
        self.agent_servers = MongoAgentServers(self._database)
        self.api_keys = MongoApiKeys(self._database)
        self.slots = MongoSlots(self._database)

    @classmethod
    def of(cls, settings: ArchiveSettings) -> Self | None:
        """The archive that the settings name; None if they name none.

        Raises:
            MongoMisconfigured: `MONGODB_URI` is malformed.
        """
        if settings.mongodb_uri is None:
            return None
        return cls(connect(settings.mongodb_uri.get_secret_value()), settings.mongodb_database)

    def saved_agents(self, codec: EncryptionCodec) -> MongoAgents:
        """The port `SavedAgents`; configurations are encrypted by `codec`."""
        return MongoAgents(self._database, codec)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing.

        Raises:
            StorageUnavailable: MongoDB does not answer; to be called again.
        """
        await ensure_indexes(self._database)

    async def prepare(self) -> None:
        """Create the missing indexes, for as long as it takes MongoDB to be there."""
        while True:
            try:
                await self.ensure_indexes()
            except Unavailable as error:
                log.warning("mongodb is away", reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def ping(self) -> None:
        """Return if MongoDB answers.

        Raises:
            StorageUnavailable: it does not.
        """
        async with storage_errors("answer"):
            await self._database.command("ping")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
