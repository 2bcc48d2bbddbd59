"""Lists of sessions by Temporal's visibility, which may lag a moment; `life` does not."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime

import structlog
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from typing_extensions import override

from adapters.temporal.clock import TemporalClock
from adapters.temporal.directory import (
    QUEUE_MEMO,
    describe,
    found_by,
    has_ended,
    memo_of,
    status_of,
)
from adapters.temporal.errors import temporal_errors
from adapters.temporal.probe import TemporalProbe
from domain.access.ports import JoiningSessions
from domain.access.quotas import Life
from domain.errors import InvalidInput
from domain.ids import SessionKey, check_id, key_of_workflow_id
from domain.sessions.end_reasons import EndReason
from domain.sessions.listing import (
    STUCK_AFTER,
    WAITS_FOR_PEOPLE,
    SessionFilter,
    SessionLine,
    SessionPage,
    is_stuck,
    line_of,
)
from domain.sessions.ports import SessionListing
from domain.sessions.search_attributes import SearchAttribute
from domain.sessions.session import Outcome, SessionState, SessionStatus, WaitingFor
from workflows.session_parts.search_attributes import WAITING_SINCE

log = structlog.get_logger()

PAGE_SIZE, MOST_PAGES = 250, 4
"""How many sessions a request compares with metadata, at most; the next page continues there."""
_CHECKSUM_BYTES = 8
_RUNNING = "ExecutionStatus = 'Running'"
_CLOSED = "ExecutionStatus != 'Running'"


class TemporalListing(SessionListing, JoiningSessions):
    """Lists sessions; every query names one org."""

    def __init__(self, client: Client, clock: TemporalClock | None = None) -> None:
        self._client = client
        self._clock = clock or TemporalClock(TemporalProbe(client))

    @override
    async def open_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        conditions = [_RUNNING, *_conditions(wanted)]
        if wanted.state:
            conditions.append(f"{SearchAttribute.STATE} = '{wanted.state}'")
        if wanted.outcome:
            conditions.append(f"{SearchAttribute.OUTCOME} = '{wanted.outcome}'")
        if wanted.stuck:
            long_ago = _time(await self._clock.now() - STUCK_AFTER)
            people = ", ".join(f"'{waiting}'" for waiting in WAITS_FOR_PEOPLE)
            conditions.append(f"{SearchAttribute.WAITING_SINCE} < {long_ago}")
            conditions.append(f"{SearchAttribute.WAITING_FOR} NOT IN ({people})")
        return await self._page(org, wanted, conditions, limit, after)

    @override
    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        conditions = [_CLOSED, *_conditions(wanted)]
        if wanted.outcome:
            # A workflow that was terminated could not set its outcome.
            failed = wanted.outcome is Outcome.FAILED
            unset = f" OR {SearchAttribute.OUTCOME} IS NULL" if failed else ""
            conditions.append(f"({SearchAttribute.OUTCOME} = '{wanted.outcome}'{unset})")
        return await self._page(org, wanted, conditions, limit, after)

    @override
    async def open_ids(self, org: str) -> set[str]:
        query = _query(org, [_RUNNING, f"{SearchAttribute.STATE} != 'closed'"])
        return {key.session_id async for key, _ in found_by(self._client, query) if key.org == org}

    @override
    async def joining(self, org: str) -> int:
        states = f"{SearchAttribute.STATE} IN ('{SessionState.STARTING}', '{SessionState.JOINING}')"
        with temporal_errors():
            return (await self._client.count_workflows(_query(org, [_RUNNING, states]))).count

    @override
    async def life(self, key: SessionKey) -> Life:
        found = await describe(self._client, key)
        if found is None:
            return Life.UNKNOWN
        return Life.ENDED if has_ended(found) else Life.OPEN

    async def _page(
        self,
        org: str,
        wanted: SessionFilter,
        conditions: list[str],
        limit: int,
        after: str | None,
    ) -> SessionPage:
        """Up to `limit` sessions.

        Temporal can search neither metadata nor how long a session may wait in the queue, so both
        are compared here.
        """
        query, token = _query(org, conditions), _token(org, after)
        compared = wanted.metadata or wanted.stuck
        pages, size = (MOST_PAGES, PAGE_SIZE) if compared else (1, limit)
        found: list[SessionLine] = []
        while True:
            listed, following = await self._listed(query, size, token)
            fitting = [number for number, line in enumerate(listed, 1) if _fits(line, wanted)]
            missing = limit - len(found)
            if len(fitting) > missing:
                # Again, only up to the last one for this page: the next page continues after it.
                listed, following = await self._listed(query, fitting[missing - 1], token)
            found += [line for line in listed if line and _fits(line, wanted)]
            token, pages = following, pages - 1
            if not token or not pages or len(found) >= limit:
                return SessionPage(sessions=found, next=_cursor(org, token) if token else None)

    async def _listed(
        self, query: str, size: int, token: bytes | None
    ) -> tuple[list[SessionLine | None], bytes | None]:
        """A page of Temporal's list, None for what is unreadable, and the token of the next."""
        listed = self._client.list_workflows(query, page_size=size, next_page_token=token)
        with temporal_errors():
            await listed.fetch_next_page()
        now = await self._clock.now()
        lines = [await _line(execution, now) for execution in listed.current_page or ()]
        return lines, listed.next_page_token


def _query(org: str, conditions: list[str]) -> str:
    # An id contains no quotes.
    mine = f"{SearchAttribute.ORG} = '{check_id(org, 'org')}'"
    return " AND ".join(["WorkflowType = 'session'", mine, *conditions])


def _conditions(wanted: SessionFilter) -> list[str]:
    conditions: list[str] = []
    if wanted.agent:
        conditions.append(f"{SearchAttribute.AGENT} = '{check_id(wanted.agent, 'agent')}'")
    if wanted.started_after:
        conditions.append(f"StartTime >= {_time(wanted.started_after)}")
    if wanted.started_before:
        conditions.append(f"StartTime < {_time(wanted.started_before)}")
    return conditions


def _time(at: datetime) -> str:
    # Temporal refuses very early years, in which nothing started.
    known = max(at.astimezone(UTC), datetime.fromtimestamp(0, UTC))
    return f"'{known:%Y-%m-%dT%H:%M:%S.%fZ}'"


def _fits(line: SessionLine | None, wanted: SessionFilter) -> bool:
    if line is None or (wanted.stuck and not line.stuck):
        return False
    return wanted.fits_metadata(line.metadata)


async def _line(execution: WorkflowExecution, now: datetime) -> SessionLine | None:
    """None, and a log entry, for a workflow that is not a readable session."""
    key = key_of_workflow_id(execution.id)
    try:
        if key is None:
            raise ValueError("its id is not that of a session")
        memo = await memo_of(execution)
        return _line_of(status_of(key, execution, memo), execution, memo.get(QUEUE_MEMO), now)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        log.error("workflow not listable as a session", workflow=execution.id, reason=reason)
        return None


def _line_of(
    status: SessionStatus, execution: WorkflowExecution, queue_seconds: float | None, now: datetime
) -> SessionLine:
    line = line_of(status)
    if execution.status is WorkflowExecutionStatus.RUNNING:
        line.waiting_since = execution.typed_search_attributes.get(WAITING_SINCE)
        line.stuck = is_stuck(line.waiting_for, line.waiting_since, now, queue_seconds)
        return line
    # A workflow that was terminated has its last open state, and no outcome.
    ended = {"state": SessionState.CLOSED, "waiting_for": WaitingFor.NOTHING}
    outcome = line.outcome or Outcome.FAILED
    end_reason = line.end_reason or EndReason.FAILED
    return line.model_copy(update={**ended, "outcome": outcome, "end_reason": end_reason})


def _cursor(org: str, token: bytes) -> str:
    """Temporal's token as text, with a checksum: Temporal answers a damaged one like an outage."""
    return base64.urlsafe_b64encode(_checksum(org, token) + token).decode()


def _token(org: str, after: str | None) -> bytes | None:
    if after is None:
        return None
    try:
        both = base64.b64decode(after.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        both = b""
    token = both[_CHECKSUM_BYTES:]
    if not token or both[:_CHECKSUM_BYTES] != _checksum(org, token):
        raise InvalidInput("not a cursor of this list", field="cursor")
    return token


def _checksum(org: str, token: bytes) -> bytes:
    return hashlib.sha256(org.encode() + b"/" + token).digest()[:_CHECKSUM_BYTES]
