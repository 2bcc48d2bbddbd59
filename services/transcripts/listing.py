"""Lists, searches and statistics of an org's transcripts."""

import base64
import binascii
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
"""What statistics look at unless a time is named."""
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_CHECK_LENGTH = 12


@dataclass(frozen=True)
class SpanStats:
    """Statistics with the span that they are about."""

    started_from: datetime
    started_to: datetime
    stats: TranscriptStats


@dataclass
class TranscriptLists:
    """What tenants ask of their transcripts; `agents` is None where saved agents are not kept."""

    listing: TranscriptListing
    figures: TranscriptFigures
    agents: SavedAgents | None

    async def page(
        self,
        org: str,
        wanted: TranscriptFilter,
        order: TranscriptOrder,
        limit: int,
        cursor: str | None,
    ) -> Page[TranscriptLine]:
        """Up to `limit` of the org's transcripts; new ones never shift what a cursor leads to.

        Raises:
            InvalidInput: a span that ends before it begins, or a cursor that is not of this list.
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
        """As `page`, for one agent, which the filter names.

        Raises:
            NotFound: the org has no such agent, and no transcript of one.
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
        """Figures over an agent's transcripts of calls that started in a span of time.

        Raises:
            InvalidInput: the span ends before it begins.
            NotFound: the org has no such agent, and no transcript of one.
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
    """A place in a list, with a check that it is used for that list alone."""
    check = _check(place, wanted, order)
    return base64.urlsafe_b64encode(f"{check}{place}".encode()).decode().rstrip("=")


def _read_cursor(
    cursor: str | None, wanted: TranscriptFilter, order: TranscriptOrder
) -> str | None:
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    check, place = text[:_CHECK_LENGTH], text[_CHECK_LENGTH:]
    if (
        not place
        or check != _check(place, wanted, order)
        or _cursor(place, wanted, order) != cursor
    ):
        raise InvalidInput(
            "not a cursor of this list",
            field="cursor",
            cure="send nextCursor of the page before, with the same filters and order",
        )
    return place


def _check(place: str, wanted: TranscriptFilter, order: TranscriptOrder) -> str:
    """What only the same place in the same list has; it keeps mistakes out, not forgers."""
    parts = [place, wanted.model_dump(mode="json"), order.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_CHECK_LENGTH]
