"""When LiveKit's webhooks came, behind the port `ReceiptStore`."""

from adapters.mongo.client import Database
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_one
from domain.json_model import reader
from domain.sessions.webhook_receipts import WebhookReceipts

COLLECTION = "livekit_webhooks"
DOCUMENT = "receipts"


class MongoWebhookReceipts:
    """One document for the installation."""

    def __init__(self, database: Database) -> None:
        self._receipts = database[COLLECTION]

    async def put(self, receipts: WebhookReceipts) -> None:
        """Keep the times that are given, beside the others that are known.

        Raises:
            StorageUnavailable: MongoDB does not take them.
        """
        given = {"$set": receipts.model_dump(exclude_unset=True)}
        async with storage_errors("store a webhook receipt"):
            await self._receipts.update_one({"_id": DOCUMENT}, given, upsert=True)

    async def get(self) -> WebhookReceipts:
        """What is known.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read webhook receipts"):
            found = await self._receipts.find_one({"_id": DOCUMENT})
        if found is None:
            return WebhookReceipts()
        return read_one(found, reader(WebhookReceipts), "webhook receipts")
