"""The indexes of the archive. Uniqueness is built into each `_id`, never only here."""

from itertools import combinations

from pymongo import ASCENDING, DESCENDING, IndexModel

from adapters.mongo.access import api_keys, audit, slots
from adapters.mongo.agents import saved_agents as agents
from adapters.mongo.agents import servers as agent_servers
from adapters.mongo.client import Database
from adapters.mongo.errors import storage_errors
from adapters.mongo.sessions import records as sessions
from adapters.mongo.transcripts import lines as transcript_lines
from adapters.mongo.transcripts import transcripts
from adapters.mongo.webhooks import webhooks

_SESSION = [("org", ASCENDING), ("session_id", ASCENDING), ("attempt", ASCENDING)]


def _list_of_sessions(*filters: str) -> IndexModel:
    # Ascending, read backwards: the local stack's server omits the boundary of a descending range.
    return IndexModel([(field, ASCENDING) for field in ("org", "state", *filters, "place")])


INDEXES: dict[str, list[IndexModel]] = {
    sessions.COLLECTION: [
        # Lists of closed sessions, one index per set of filters: the local stack's server uses an
        # index only if it covers every field of the filter.
        _list_of_sessions(),
        _list_of_sessions("outcome"),
        _list_of_sessions("agent"),
        _list_of_sessions("outcome", "agent"),
        # The reaper pages through the few open ones of all orgs.
        IndexModel([("state", ASCENDING), ("_id", ASCENDING)]),
    ],
    transcripts.TURNS: [IndexModel([*_SESSION, ("seq", ASCENDING)])],
    transcripts.REPORTS: [IndexModel(_SESSION)],
    transcript_lines.COLLECTION: [
        # Filters are entries of an array, so one index per order serves all of them.
        *(
            IndexModel([("org", ASCENDING), ("facets", ASCENDING), (place, ASCENDING)])
            for place in ("started", "ended", "duration")
        ),
        IndexModel([("org", ASCENDING), ("terms", ASCENDING), ("started", ASCENDING)]),
    ],
    audit.COLLECTION: [
        IndexModel([("org", ASCENDING), ("place", ASCENDING)]),
        IndexModel([("org", ASCENDING), ("action", ASCENDING), ("place", ASCENDING)]),
    ],
    transcripts.RECORDINGS: [IndexModel([("org", ASCENDING), ("session_id", ASCENDING)])],
    agents.AGENTS: [
        IndexModel([("org", ASCENDING), ("deleted", ASCENDING), ("agent_id", DESCENDING)])
    ],
    agents.VERSIONS: [
        IndexModel([("org", ASCENDING), ("agent_id", ASCENDING), ("version", DESCENDING)])
    ],
    agent_servers.COLLECTION: [
        IndexModel(
            [("last_heartbeat", ASCENDING)],
            expireAfterSeconds=agent_servers.FORGET_AFTER_SECONDS,
        )
    ],
    agent_servers.CONDEMNED: [
        IndexModel([("at", ASCENDING)], expireAfterSeconds=agent_servers.FORGET_AFTER_SECONDS)
    ],
    api_keys.COLLECTION: [
        IndexModel([("key_hash", ASCENDING)], unique=True),
        IndexModel([("org", ASCENDING), ("created_at", DESCENDING)]),
    ],
    webhooks.ENDPOINTS: [IndexModel([("org", ASCENDING), ("endpoint_id", ASCENDING)])],
    webhooks.DELIVERIES: [
        *(
            IndexModel([(field, ASCENDING) for field in ("org", *filters, "place")])
            for number in range(len(webhooks.FILTERS) + 1)
            for filters in combinations(webhooks.FILTERS, number)
        ),
        IndexModel([("occurred_at", ASCENDING)], expireAfterSeconds=webhooks.KEPT_SECONDS),
    ],
    slots.COLLECTION: [IndexModel([("org", ASCENDING), ("session_id", ASCENDING)], unique=True)],
}
"""By collection. Indexes of org data begin with the org."""


async def ensure_indexes(database: Database) -> None:
    """Create the indexes that are missing; safe to repeat and from several processes at once.

    Raises:
        StorageUnavailable: MongoDB does not answer, or has another index of the same name.
    """
    async with storage_errors("create its indexes"):
        for collection, indexes in INDEXES.items():
            await database[collection].create_indexes(indexes)
