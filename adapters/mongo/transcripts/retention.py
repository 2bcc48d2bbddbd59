"""The retention rules that orgs have chosen."""

from typing_extensions import override

from adapters.mongo.client import Database
from adapters.mongo.documents import document_of
from adapters.mongo.reading import StoredModel
from adapters.mongo.tenancy import OrgCollection
from domain.json_model import reader
from domain.transcripts.ports import RetentionRules
from domain.transcripts.retention import RetentionRule

COLLECTION = "retention_rules"
_RULE = StoredModel("the retention rule of", reader(RetentionRule))


class MongoRetentionRules(RetentionRules):
    """One document per org that has a rule."""

    def __init__(self, database: Database) -> None:
        self._rules = OrgCollection(database[COLLECTION])

    @override
    async def get(self, org: str) -> RetentionRule:
        return await self._rules.of(org).get(org, _RULE) or RetentionRule(org=org)

    @override
    async def put(self, rule: RetentionRule) -> None:
        await self._rules.of(rule.org).put_one(document_of(rule, "the retention rule", rule.org))
