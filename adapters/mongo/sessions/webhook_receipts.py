"""When LiveKit's webhooks arrived."""

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import Documents
from domain.json_model import reader
from domain.sessions.ports import ReceiptStore
from domain.sessions.webhook_receipts import WebhookReceipts

COLLECTION = "livekit_webhooks"
DOCUMENT = "receipts"
_RECEIPTS = StoredModel("webhook receipts", reader(WebhookReceipts))


class MongoWebhookReceipts(ReceiptStore):
    """One document for the installation."""

    def __init__(self, database: Database) -> None:
        self._receipts = Documents(database[COLLECTION])

    @override
    async def put(self, receipts: WebhookReceipts) -> None:
        given = {"$set": receipts.model_dump(exclude_unset=True)}
        await self._receipts.update_one({"_id": DOCUMENT}, given, upsert=True)

    @override
    async def get(self) -> WebhookReceipts:
        return await self._receipts.get(DOCUMENT, _RECEIPTS) or WebhookReceipts()
