"""The indexes of the archive. Uniqueness is built into each `_id`, never only here."""

from itertools import combinations
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from adapters.mongo.access import api_keys, audit, slots
from adapters.mongo.agents import places
from adapters.mongo.agents import saved_agents as agents
from adapters.mongo.agents import servers as agent_servers
from adapters.mongo.client import Database
from adapters.mongo.errors import storage_errors
from adapters.mongo.sessions import records as sessions
from adapters.mongo.transcripts import lines as transcript_lines
from adapters.mongo.transcripts import transcripts
from adapters.mongo.webhooks import webhooks


def _index(*fields: str, **options: Any) -> IndexModel:
    """An index on these fields, ascending but for those that begin with `-`."""
    keys = [
        (name.removeprefix("-"), DESCENDING if name.startswith("-") else ASCENDING)
        for name in fields
    ]
    return IndexModel(keys, **options)


INDEXES: dict[str, list[IndexModel]] = {
    sessions.COLLECTION: [
        # Lists of closed sessions, one index per set of filters: the local stack's server uses an
        # index only if it covers every field of the filter. They are ascending and read backwards:
        # that server omits the boundary of a descending range.
        *(
            _index("org", "state", *filters, "place")
            for filters in ((), ("outcome",), ("agent",), ("outcome", "agent"))
        ),
        # Metadata is rare: what else is filtered by is checked on the few that have it.
        _index("org", "state", "metadata_pairs", "place"),
        # The reaper pages through the few open ones of all orgs.
        _index("state", "_id"),
    ],
    transcripts.TURNS: [_index("org", "session_id", "position")],
    transcripts.REPORTS: [_index("org", "session_id", "attempt")],
    transcript_lines.COLLECTION: [
        # Filters are entries of an array, so one index per order serves all of them.
        *(_index("org", "facets", sort_key) for sort_key in ("started", "ended", "duration")),
        _index("org", "terms", "started"),
    ],
    audit.COLLECTION: [_index("org", "place"), _index("org", "action", "place")],
    transcripts.RECORDINGS: [_index("org", "session_id")],
    agents.AGENTS: [_index("org", "deleted", "-agent_id")],
    agents.VERSIONS: [_index("org", "agent_id", "-version")],
    agent_servers.COLLECTION: [
        _index("last_heartbeat", expireAfterSeconds=agent_servers.FORGET_AFTER_SECONDS)
    ],
    agent_servers.CONDEMNED: [_index("at", expireAfterSeconds=agent_servers.FORGET_AFTER_SECONDS)],
    api_keys.COLLECTION: [_index("key_hash", unique=True), _index("org", "-created_at")],
    webhooks.ENDPOINTS: [_index("org", "endpoint_id")],
    webhooks.DELIVERIES: [
        *(
            _index("org", *filters, "place")
            for number in range(len(webhooks.FILTERS) + 1)
            for filters in combinations(webhooks.FILTERS, number)
        ),
        _index("occurred_at", expireAfterSeconds=webhooks.KEPT_SECONDS),
    ],
    slots.COLLECTION: [_index("org", "session_id", unique=True)],
    places.PLACES: [_index("org", "session_id", unique=True), _index("agent_name")],
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
