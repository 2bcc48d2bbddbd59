"""Lists, searches and statistics of an org's transcripts."""

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.agents.ports import SavedAgents
from domain.agents.saved_agent import AgentKey
from domain.errors import InvalidInput, NotFound
from domain.paging import Page
from domain.transcripts.listing import TranscriptFilter, TranscriptLine, TranscriptOrder
from domain.transcripts.ports import TranscriptFigures, TranscriptListing
from domain.transcripts.statistics import TranscriptStats

STATS_SPAN = timedelta(days=30)
"""The default time span of statistics."""
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_CHECK_LENGTH = 12


@dataclass(frozen=True)
class SpanStats:
    """Statistics with their time span."""

    started_from: datetime
    started_to: datetime
    stats: TranscriptStats


@dataclass
class TranscriptLists:
    """Lists and statistics of transcripts for tenants."""

    listing: TranscriptListing
    figures: TranscriptFigures
    agents: SavedAgents | None
    """None if saved agents are not stored."""

    async def page(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        cursor: str | None,
    ) -> Page[TranscriptLine]:
        """Up to `limit` of the org's transcripts; new ones never shift the next page.

        Raises:
            InvalidInput: a span that ends before it begins, or a cursor of another list.
            Unavailable: MongoDB does not answer.
        """
        _check_spans(wanted)
        after = _read_cursor(cursor, wanted, order)
        page = await self.listing.page(org, wanted, order, limit, after)
        following = None if page.next is None else _cursor(page.next, wanted, order)
        return Page(page.items, following)

    async def page_of_agent(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        cursor: str | None,
    ) -> Page[TranscriptLine]:
        """As `page`, for the agent in the filter.

        Raises:
            NotFound: the org has neither such an agent nor a transcript of one.
        """
        page = await self.page(org, wanted, order, limit, cursor)
        if not page.items:
            await self._require_agent(org, wanted.agent or "")
        return page

    async def stats(
        self,
        org: str,
        agent: str,
        started_from: datetime | None,
        started_to: datetime | None,
        now: datetime,
    ) -> SpanStats:
        """Statistics of an agent's calls that started in a time span.

        Raises:
            InvalidInput: the span ends before it begins.
            NotFound: the org has neither such an agent nor a transcript of one.
            Unavailable: MongoDB does not answer.
        """
        until = started_to or max(now, _after(started_from or now))
        since = started_from or max(until, _FIRST + STATS_SPAN) - STATS_SPAN
        _check_spans(TranscriptFilter(started_from=started_from, started_to=started_to))
        stats = await self.figures.stats(org, agent, since, until)
        if not stats.count:
            await self._require_agent(org, agent)
        return SpanStats(since, until, stats)

    async def _require_agent(self, org: str, agent: str) -> None:
        if self.agents and await self.agents.get(AgentKey(org, agent)):
            return
        if not await self.listing.has_agent(org, agent):
            raise NotFound(f"there is no agent {agent}", field="agentId")


def _after(at: datetime) -> datetime:
    return min(at, _LAST - timedelta(milliseconds=1)) + timedelta(milliseconds=1)


def _check_spans(wanted: TranscriptFilter) -> None:
    since, until = wanted.started_from, wanted.started_to
    if since and until and since >= until:
        raise InvalidInput("`from` is not before `to`", field="from", cure="name an earlier time")
    least, most = wanted.min_duration, wanted.max_duration
    if least is not None and most is not None and least > most:
        raise InvalidInput(
            "minDuration is more than maxDuration", field="minDuration", cure="name a smaller one"
        )


def _cursor(place: str, wanted: TranscriptFilter, order: TranscriptOrder) -> str:
    """A sort key with a checksum of its list, which catches mistakes, not forgery."""
    # An older release, whose cursors stay valid, did not know metadata.
    unknown = None if wanted.metadata else {"metadata"}
    filters = wanted.model_dump(mode="json", exclude=unknown)
    parts = [place, filters, order.model_dump(mode="json")]
    check = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_CHECK_LENGTH]
    return base64.urlsafe_b64encode(f"{check}{place}".encode()).decode().rstrip("=")


def _read_cursor(
    cursor: str | None, wanted: TranscriptFilter, order: TranscriptOrder
) -> str | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    place = text[_CHECK_LENGTH:]
    if not place or _cursor(place, wanted, order) != cursor:
        raise InvalidInput(
            "not a cursor of this list",
            field="cursor",
            cure="send nextCursor of the page before, with the same filters and order",
        )
    return place
