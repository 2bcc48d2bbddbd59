"""Lists of sessions by Temporal's visibility, which may lag a moment; `life` does not."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, TypedSearchAttributes
from typing_extensions import override

from adapters.temporal.directory import describe
from adapters.temporal.errors import temporal_errors
from domain.access.ports import SessionLives
from domain.access.quotas import Life
from domain.errors import InvalidInput
from domain.ids import SessionKey, check_id, key_of_workflow_id
from domain.sessions.listing import (
    STUCK_AFTER,
    WAITS_FOR_PEOPLE,
    SessionFilter,
    SessionLine,
    SessionPage,
    is_stuck,
)
from domain.sessions.ports import SessionListing
from domain.sessions.search_attributes import SearchAttribute
from domain.sessions.session import EndReason, Outcome, SessionState, WaitingFor
from workflows.session_parts.search_attributes import (
    AGENT,
    END_REASON,
    JOIN_ATTEMPTS,
    OUTCOME,
    ROOM,
    STATE,
    WAITING_FOR,
    WAITING_SINCE,
)

log = structlog.get_logger()

_CHECKSUM_BYTES = 8
_RUNNING = "ExecutionStatus = 'Running'"
_CLOSED = "ExecutionStatus != 'Running'"

Kind = TypeVar("Kind", bound=SessionState | Outcome | EndReason | WaitingFor)


class TemporalListing(SessionListing, SessionLives):
    """Lists sessions; every query names one org."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @override
    async def open_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        conditions = [_RUNNING, *_conditions(wanted)]
        if wanted.state:
            conditions.append(f"{SearchAttribute.STATE} = '{wanted.state.value}'")
        if wanted.outcome:
            conditions.append(f"{SearchAttribute.OUTCOME} = '{wanted.outcome.value}'")
        if wanted.stuck:
            long_ago = _time(datetime.now(UTC) - STUCK_AFTER)
            people = ", ".join(f"'{waiting.value}'" for waiting in WAITS_FOR_PEOPLE)
            conditions.append(f"{SearchAttribute.WAITING_SINCE} < {long_ago}")
            conditions.append(f"{SearchAttribute.WAITING_FOR} NOT IN ({people})")
        return await self._page(org, conditions, limit, after)

    @override
    async def closed_page(
        self, org: str, wanted: SessionFilter, limit: int, after: str | None
    ) -> SessionPage:
        conditions = [_CLOSED, *_conditions(wanted)]
        if wanted.outcome is Outcome.FAILED:
            # A workflow that was terminated could not set its outcome.
            conditions.append(
                f"({SearchAttribute.OUTCOME} = 'failed' OR {SearchAttribute.OUTCOME} IS NULL)"
            )
        elif wanted.outcome:
            conditions.append(f"{SearchAttribute.OUTCOME} = '{wanted.outcome.value}'")
        return await self._page(org, conditions, limit, after)

    @override
    async def open_ids(self, org: str) -> set[str]:
        query = _query(org, [_RUNNING, f"{SearchAttribute.STATE} != 'closed'"])
        found: set[str] = set()
        with temporal_errors():
            async for execution in self._client.list_workflows(query):
                key = key_of_workflow_id(execution.id)
                if key and key.org == org:
                    found.add(key.session_id)
        return found

    @override
    async def life(self, key: SessionKey) -> Life:
        found = await describe(self._client, key)
        if found is None:
            return Life.UNKNOWN
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return Life.ENDED
        # Closed: only its room is not deleted yet.
        closed = found.typed_search_attributes.get(STATE) == SessionState.CLOSED.value
        return Life.ENDED if closed else Life.OPEN

    async def _page(
        self, org: str, conditions: list[str], limit: int, after: str | None
    ) -> SessionPage:
        listed = self._client.list_workflows(
            _query(org, conditions), page_size=limit, next_page_token=_token(org, after)
        )
        with temporal_errors():
            await listed.fetch_next_page()
        now = datetime.now(UTC)
        token = listed.next_page_token
        return SessionPage(
            sessions=[
                line
                for execution in listed.current_page or ()
                if (line := _line_if_readable(execution, now))
            ],
            next=_cursor(org, token) if token else None,
        )


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


def _line_if_readable(execution: WorkflowExecution, now: datetime) -> SessionLine | None:
    """None, and a log entry, for a workflow that is not a readable session."""
    key = key_of_workflow_id(execution.id)
    try:
        if key is not None:
            return _line(key, execution, now)
        reason = "its id is not that of a session"
    except ValueError as error:
        reason = str(error).splitlines()[0]
    log.error("workflow not listable as a session", workflow=execution.id, reason=reason)
    return None


def _line(key: SessionKey, execution: WorkflowExecution, now: datetime) -> SessionLine:
    shown = execution.typed_search_attributes
    is_open = execution.status is WorkflowExecutionStatus.RUNNING
    waiting_for = _read(shown, WAITING_FOR, WaitingFor.NOTHING, WaitingFor.NOTHING)
    since = shown.get(WAITING_SINCE) if is_open else None
    terminated = Outcome.FAILED, EndReason.FAILED
    outcome, end_reason = (None, None) if is_open else terminated
    return SessionLine(
        session_id=key.session_id,
        room_name=shown.get(ROOM) or "",
        agent=shown.get(AGENT) or "",
        state=_read(shown, STATE, SessionState.LIVE, SessionState.STARTING)
        if is_open
        else SessionState.CLOSED,
        waiting_for=waiting_for if is_open else WaitingFor.NOTHING,
        waiting_since=since,
        stuck=is_open and is_stuck(waiting_for, since, now),
        outcome=_read(shown, OUTCOME, Outcome.FAILED, outcome),
        end_reason=_read(shown, END_REASON, EndReason.AGENT_ENDED, end_reason),
        attempt=shown.get(JOIN_ATTEMPTS) or 0,
        started_at=execution.start_time,
        closed_at=execution.close_time,
    )


Missing = TypeVar("Missing")


def _read(
    shown: TypedSearchAttributes,
    key: SearchAttributeKey[str],
    unknown: Kind,
    missing: Missing,
) -> Kind | Missing:
    """The value of an attribute; `unknown` for a value that only another version knows."""
    value = shown.get(key)
    if not value:
        return missing
    known = {member.value: member for member in type(unknown)}
    return known.get(value, unknown)


def _cursor(org: str, token: bytes) -> str:
    """Temporal's token as text, with a checksum: Temporal answers a damaged one like an outage."""
    return base64.urlsafe_b64encode(_checksum(org, token) + token).decode()


def _token(org: str, after: str | None) -> bytes | None:
    if after is None:
        return None
    try:
        both = base64.b64decode(after.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeError):
        raise _no_cursor() from None
    token = both[_CHECKSUM_BYTES:]
    if not token or both[:_CHECKSUM_BYTES] != _checksum(org, token):
        raise _no_cursor()
    return token


def _checksum(org: str, token: bytes) -> bytes:
    return hashlib.sha256(org.encode() + b"/" + token).digest()[:_CHECKSUM_BYTES]


def _no_cursor() -> InvalidInput:
    return InvalidInput("not a cursor of this list", field="cursor")
