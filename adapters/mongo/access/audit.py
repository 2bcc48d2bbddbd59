"""The audit log."""

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import Document, document_id, document_of
from adapters.mongo.reading import StoredModel
from adapters.mongo.sort_keys import sort_key_of_time
from adapters.mongo.tenancy import OrgCollection
from domain.access.audit import AuditAction, AuditEntry, AuditPage
from domain.access.ports import AuditLog
from domain.json_model import reader

COLLECTION = "audit"
_ENTRY = StoredModel("audit entry", reader(AuditEntry))


class MongoAudit(AuditLog):
    """One document per entry, never changed."""

    def __init__(self, database: Database) -> None:
        self._entries = OrgCollection(database[COLLECTION])

    @override
    async def add(self, entry: AuditEntry) -> bool:
        name = document_id(entry.org, entry.id)
        place = sort_key_of_time(entry.at) + entry.id
        document = document_of(entry, "an audit entry", name, place=place)
        return await self._entries.of(entry.org).insert_new(document)

    @override
    async def page(
        self, org: str, action: AuditAction | None, limit: int, after: str | None
    ) -> AuditPage:
        wanted: Document = {"action": action.value} if action else {}
        page = await self._entries.of(org).page(wanted, limit, _ENTRY, after)
        return AuditPage(entries=page.items, next=page.next)
