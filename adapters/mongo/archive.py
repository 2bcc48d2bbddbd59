"""All repositories of one MongoDB database."""

import asyncio
import time
from collections.abc import Callable
from typing import Self

import structlog

from adapters.mongo.access.api_keys import MongoApiKeys
from adapters.mongo.access.audit import MongoAudit
from adapters.mongo.access.slots import MongoSlots
from adapters.mongo.agents.places import MongoPlaces
from adapters.mongo.agents.saved_agents import MongoAgents
from adapters.mongo.agents.servers import MongoAgentServers
from adapters.mongo.client import Client, connect
from adapters.mongo.indexes import ensure_indexes
from adapters.mongo.leases import LEASE_SECONDS, MongoLease
from adapters.mongo.sessions.records import MongoSessions
from adapters.mongo.sessions.webhook_receipts import MongoWebhookReceipts
from adapters.mongo.transcripts.lines import MongoTranscriptLines
from adapters.mongo.transcripts.listing import MongoTranscriptLists
from adapters.mongo.transcripts.retention import MongoRetentionRules
from adapters.mongo.transcripts.statistics import MongoTranscriptStats
from adapters.mongo.transcripts.summaries import MongoSummaries
from adapters.mongo.transcripts.transcripts import MongoTranscripts
from adapters.mongo.webhooks.webhooks import MongoDeliveries, MongoEndpoints
from adapters.settings import ArchiveSettings
from adapters.temporal.encryption import EncryptionCodec
from domain.errors import Unavailable
from domain.transcripts.transcript import TranscriptLimits

log = structlog.get_logger()

RETRY_SECONDS = 2.0


class MongoArchive:
    """The repositories of one database; it connects on first use."""

    def __init__(
        self, client: Client, database: str, limits: TranscriptLimits | None = None
    ) -> None:
        self._client = client
        self._database = client[database]
        self.transcript_lines = MongoTranscriptLines(self._database)
        self.sessions = MongoSessions(self._database, self.transcript_lines)
        self.transcripts = MongoTranscripts(self._database, self.transcript_lines, limits)
        self.summaries = MongoSummaries(self._database, self.transcript_lines)
        self.transcript_lists = MongoTranscriptLists(self._database)
        self.transcript_stats = MongoTranscriptStats(self._database)
        self.audit = MongoAudit(self._database)
        self.retention_rules = MongoRetentionRules(self._database)
        self.agent_servers = MongoAgentServers(self._database)
        self.places = MongoPlaces(self._database)
        self.livekit_webhooks = MongoWebhookReceipts(self._database)
        self.api_keys = MongoApiKeys(self._database)
        self.slots = MongoSlots(self._database)
        self.webhook_deliveries = MongoDeliveries(self._database)

    @classmethod
    def of(cls, settings: ArchiveSettings) -> Self | None:
        """The archive in the settings; None without `MONGODB_URI`. Raises `MongoMisconfigured`."""
        if settings.mongodb_uri is None:
            return None
        client = connect(settings.mongodb_uri.get_secret_value())
        return cls(client, settings.mongodb_database, settings.transcript_limits)

    def saved_agents(self, codec: EncryptionCodec) -> MongoAgents:
        """The saved agents, with configurations encrypted by `codec`."""
        return MongoAgents(self._database, codec)

    def webhook_endpoints(self, codec: EncryptionCodec) -> MongoEndpoints:
        """The webhook endpoints, with signing secrets encrypted by `codec`."""
        return MongoEndpoints(self._database, codec)

    def lease(
        self,
        name: str,
        holder: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = LEASE_SECONDS,
    ) -> MongoLease:
        """A lease; `holder` names this process, whose `clock` returns its own time in seconds.

        Another process takes it over after so many `seconds` without a call of its holder.
        """
        return MongoLease(self._database, name, holder, clock, seconds)

    async def ensure_indexes(self) -> None:
        """Create missing indexes; `StorageUnavailable` if MongoDB does not answer."""
        await ensure_indexes(self._database)

    async def prepare(self) -> None:
        """Create missing indexes, waiting for MongoDB as long as it takes."""
        while True:
            try:
                return await self.ensure_indexes()
            except Unavailable as error:
                log.warning("mongodb is away", reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
