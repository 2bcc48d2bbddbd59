"""Lists of an org's sessions: first the open ones, then the closed ones, each newest first.

Open sessions come from Temporal, which knows their state. Closed ones come from the archive, or
within its retention from Temporal if there is no archive or it does not answer.
"""

from dataclasses import dataclass

import structlog

from domain.errors import InvalidInput, StorageUnavailable
from domain.sessions.listing import SessionFilter, SessionPage
from domain.sessions.ports import SessionHistory, SessionListing

log = structlog.get_logger()

_OPEN, _RECORDED, _REMEMBERED = "o", "r", "t"
"""Cursor prefixes: open sessions, closed ones in the archive, closed ones in Temporal."""


@dataclass
class SessionLists:
    """One list over both sources."""

    listing: SessionListing
    history: SessionHistory | None

    async def page(
        self, org: str, wanted: SessionFilter, limit: int, cursor: str | None
    ) -> SessionPage:
        """Up to `limit` of an org's sessions.

        A session that ends between two pages may be on both.

        Raises:
            InvalidInput: the cursor is malformed.
            Unavailable: Temporal does not answer, or the archive not after its first page.
        """
        part, after = _read(cursor)
        if part != _OPEN:
            return await self._closed(org, wanted, limit, part, after)
        page = await self.listing.open_page(org, wanted, limit, after)
        if page.next:
            return SessionPage(sessions=page.sessions, next=_OPEN + page.next)
        if not wanted.closed_ones:
            return page
        left = limit - len(page.sessions)
        if left == 0:
            # An empty next page is better than a page longer than requested.
            return SessionPage(sessions=page.sessions, next=_RECORDED)
        closed = await self._closed(org, wanted, left, _RECORDED, None)
        shown = {line.session_id for line in page.sessions}
        rest = [line for line in closed.sessions if line.session_id not in shown]
        return SessionPage(sessions=[*page.sessions, *rest], next=closed.next)

    async def _closed(
        self, org: str, wanted: SessionFilter, limit: int, part: str, after: str | None
    ) -> SessionPage:
        if self.history and part == _RECORDED:
            try:
                page = await self.history.closed_page(org, wanted, limit, after)
            except StorageUnavailable as error:
                if after:
                    raise  # The sources are ordered differently: do not switch mid-list.
                log.warning("closed sessions are listed by Temporal", reason=error.message)
            else:
                return _with_part(page, _RECORDED)
        page = await self.listing.closed_page(org, wanted, limit, after)
        return _with_part(page, _REMEMBERED)


def _with_part(page: SessionPage, part: str) -> SessionPage:
    return SessionPage(sessions=page.sessions, next=part + page.next if page.next else None)


def _read(cursor: str | None) -> tuple[str, str | None]:
    if cursor is None:
        return _OPEN, None
    for part in (_OPEN, _RECORDED, _REMEMBERED):
        if cursor.startswith(part):
            return part, cursor[len(part) :] or None
    raise InvalidInput("not a cursor of this list", field="cursor")
