"""The indexes of the archive. Uniqueness is in each `_id` by construction, never only here."""

from pymongo import ASCENDING, DESCENDING, IndexModel

from adapters.mongo import agent_servers, agents, api_keys, sessions, slots, transcripts
from adapters.mongo.client import Database
from adapters.mongo.errors import storage_errors

_SESSION = [("org", ASCENDING), ("session_id", ASCENDING), ("attempt", ASCENDING)]


def _list_of_sessions(*filters: str) -> IndexModel:
    # Ascending, and read backwards: that server leaves out the boundary of a descending range.
    return IndexModel([(field, ASCENDING) for field in ("org", "state", *filters, "place")])


INDEXES: dict[str, list[IndexModel]] = {
    sessions.COLLECTION: [
        # Lists of closed sessions. One for each set of filters: the server of the local stack takes
        # an index only if it covers every field of the filter.
        _list_of_sessions(),
        _list_of_sessions("outcome"),
        _list_of_sessions("agent"),
        _list_of_sessions("outcome", "agent"),
        # The reaper looks at the few open ones of all orgs.
        IndexModel([("state", ASCENDING), ("started_at", ASCENDING)]),
    ],
    transcripts.TURNS: [IndexModel([*_SESSION, ("seq", ASCENDING)])],
    transcripts.REPORTS: [IndexModel(_SESSION)],
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
    api_keys.COLLECTION: [
        IndexModel([("key_hash", ASCENDING)], unique=True),
        IndexModel([("org", ASCENDING), ("created_at", DESCENDING)]),
    ],
    slots.COLLECTION: [
        IndexModel([("org", ASCENDING), ("session_id", ASCENDING)], unique=True),
        IndexModel([("claimed_at", ASCENDING)]),
    ],
}
"""By collection. What belongs to an org is led by it."""


async def ensure_indexes(database: Database) -> None:
    """Create the indexes that are missing; safe to repeat and from several processes at once.

    Raises:
        StorageUnavailable: MongoDB does not answer, or has another index of the same name.
    """
    async with storage_errors("create its indexes"):
        for collection, indexes in INDEXES.items():
            await database[collection].create_indexes(indexes)
