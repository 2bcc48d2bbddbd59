"""What orgs have chosen for the retention of their transcripts, behind `RetentionRules`."""

from adapters.mongo.client import Database
from adapters.mongo.documents import dump
from adapters.mongo.errors import storage_errors
from adapters.mongo.reading import read_one
from adapters.mongo.tenancy import OrgCollection
from domain.json_model import reader
from domain.transcripts.retention import RetentionRule

COLLECTION = "retention_rules"


class MongoRetentionRules:
    """One document per org that has chosen."""

    def __init__(self, database: Database) -> None:
        self._rules = OrgCollection(database[COLLECTION])

    async def get(self, org: str) -> RetentionRule:
        """The org's rule; one without days if it has chosen none.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        async with storage_errors("read a retention rule"):
            found = await self._rules.of(org).find_one({"_id": org})
        if found is None:
            return RetentionRule(org=org)
        return read_one(found, reader(RetentionRule), "the retention rule of")

    async def put(self, rule: RetentionRule) -> None:
        """Store the org's rule.

        Raises:
            StorageUnavailable: MongoDB does not take it.
        """
        document = {"_id": rule.org, **dump(rule, "the retention rule")}
        async with storage_errors("store a retention rule"):
            await self._rules.of(rule.org).put_one(document)
