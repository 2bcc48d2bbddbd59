"""Start a session: the one use case behind the API, and behind whatever else starts sessions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from domain.access.principal import Principal
from domain.agents.catalogs import Catalog
from domain.agents.config import ConfigWarning
from domain.agents.config_summary import config_summary
from domain.errors import Conflict, EverlineError, NotFound, RoomNameTaken, Unavailable
from domain.ids import SessionKey
from domain.sessions.ports import Installation, Rooms, Sessions, Started
from domain.sessions.rooms import owner_of_room
from domain.sessions.session import EndReason, SessionInput, SessionStatus, Stage
from services.access.quotas import SessionQuota
from services.agents.saved_agents import Agents
from services.sessions.start import StartRequest, resolved_configuration, session_input
from services.sessions.webhook_receipts import LiveKitWebhooks

log = structlog.get_logger()

WAIT_SECONDS = {Stage.ACCEPTED: 0.0, Stage.DISPATCHED: 10.0, Stage.JOINED: 30.0}
"""How long a start waits for its stage; after that the session goes on without its client."""
ROOM_CHECK_SECONDS = 1.0
"""How long a start may take to see whose room it names; the session's workflow checks as well."""


class SessionEnded(Unavailable):
    """The session ended before it reached what the start waited for (HTTP 503)."""

    code = "session_ended"


@dataclass(frozen=True)
class StartedSession:
    """A session that runs.

    Attributes:
        input: what the session runs.
        status: what it said when it reached the stage; None if it had not in time.
        warnings: what in the configuration has another effect than it seems to have; none where
            a repeated start finds another version of its agent than the session runs.
    """

    input: SessionInput
    status: SessionStatus | None
    warnings: list[ConfigWarning]


@dataclass
class SessionStarter:
    """Starts sessions, each once however often its request is repeated."""

    sessions: Sessions
    """The workflows."""
    rooms: Rooms
    """LiveKit's rooms."""
    installation: Installation
    """Whose rooms are ours."""
    webhooks: LiveKitWebhooks
    """Told when an agent has joined, of which LiveKit's webhooks should tell."""
    quota: SessionQuota | None
    """How many sessions an org may have; None for any number."""
    agents: Agents | None
    """The saved agents; None without MongoDB."""
    catalog: Catalog
    """What can be configured."""
    agent_name: str
    """The name that agents are dispatched by."""
    archive: bool
    """Whether transcripts are kept."""

    async def start(
        self, principal: Principal, request: StartRequest, stage: Stage
    ) -> StartedSession:
        """Start a session, or find the one that the same request started before.

        Args:
            principal: who starts it, and for which org.
            request: what is asked for.
            stage: how far to wait, for at most `WAIT_SECONDS`.

        Raises:
            EverlineError: nothing was started, or the session has ended already, with the reason.
        """
        try:
            configuration = await resolved_configuration(
                request, principal, self.agents, self.catalog
            )
        except EverlineError:
            # Its agent may be changed, deleted or out of reach since then; the session is not.
            started = await self._started_before(principal, request, stage)
            if started is None:
                raise
            return _running(started, [])
        resolved = session_input(
            request,
            configuration,
            principal,
            agent_name=self.agent_name,
            archive=self.archive,
        )
        _log_configuration(resolved, configuration.warnings)
        if request.room_name is not None:
            await self._refuse_room_of_another(resolved)
        async with self._reservation(resolved.key) as holds_slot:
            resolved.slot = holds_slot
            started = await self.sessions.start(resolved, stage, WAIT_SECONDS[stage])
            if started.closed:
                # Raise inside the block, so that the slot is released.
                raise _over(started, "is closed")
        if started.status and started.status.agent_joined and not started.again:
            self.webhooks.expected(datetime.now(UTC))
        as_resolved = started.input.agent_version == resolved.agent_version
        return _running(started, configuration.warnings if as_resolved else [])

    async def _started_before(
        self, principal: Principal, request: StartRequest, stage: Stage
    ) -> Started | None:
        """The session that the same request started before, with a saved agent; None if none did.

        Asked only where the agent cannot be had: other starts find it when they meet its workflow,
        and a first start should not pay for this request.
        """
        key = request.key(principal.org)
        if key is None or request.agent_id is None:
            return None
        digest = request.digest(principal.org)
        try:
            return await self.sessions.find(key, digest, stage, WAIT_SECONDS[stage])
        except NotFound:
            return None

    async def _refuse_room_of_another(self, resolved: SessionInput) -> None:
        """Refuse a start in another session's room before its workflow, which would use up its id.

        What cannot be seen from here is left to the workflow, which checks again: a start works
        while LiveKit is away, and two starts can come at the same moment.

        Raises:
            RoomNameTaken: the room exists and is another session's; nothing was started.
            Unavailable: it is another's, and Temporal is away.
        """
        room = resolved.livekit_room
        try:
            async with asyncio.timeout(ROOM_CHECK_SECONDS):
                found = await self.rooms.list_rooms([room])
        except (EverlineError, TimeoutError) as error:
            reason = str(error) or "LiveKit does not answer in time"
            log.warning("the owner of the room is not known", room=room, reason=reason)
            return
        if not found:
            return
        installation = await self.installation.id()
        owners = [owner_of_room(other.metadata) for other in found]
        if all(owner and owner.may_be(resolved.key, installation) for owner in owners):
            return
        # A session that was started before is what the answer is about, not the room's next owner.
        if not await self.sessions.exists(resolved.key):
            raise RoomNameTaken(
                f"room {room} belongs to another session",
                field="roomName",
                cure="choose another roomName, or leave it out to get a new one",
            )

    @asynccontextmanager
    async def _reservation(self, key: SessionKey) -> AsyncGenerator[bool]:
        """Count the session against its org's quota; yields whether it has a slot to free."""
        if self.quota is None:
            yield False
            return
        async with self.quota.reservation(key) as holds_slot:
            yield holds_slot


def _log_configuration(resolved: SessionInput, warnings: list[ConfigWarning]) -> None:
    log.info(
        "configuration resolved",
        org=resolved.org,
        session=resolved.session_id,
        agent_version=resolved.agent_version,
        config=config_summary(resolved.config),
        warnings=[f"{warning.field}: {warning.reason}" for warning in warnings],
    )


def _running(started: Started, warnings: list[ConfigWarning]) -> StartedSession:
    """The session as it runs.

    Raises:
        EverlineError: it has ended.
    """
    status = started.status
    if started.closed:
        raise _over(started, "is closed")
    if status and status.ended_at:
        if started.again and status.end_reason is not EndReason.ROOM_NAME_TAKEN:
            raise _over(started, f"has ended: {status.reason}")
        raise _ended(status)
    return StartedSession(started.input, status, warnings)


def _over(started: Started, what: str) -> Conflict:
    return Conflict(
        f"session {started.input.session_id} was started before and {what}",
        field="sessionId",
        cure="use another sessionId or Idempotency-Key for a new session",
    )


def _ended(status: SessionStatus) -> EverlineError:
    reason = status.reason or "the session has ended"
    if status.end_reason is EndReason.ROOM_NAME_TAKEN:
        return RoomNameTaken(
            reason,
            field="roomName",
            cure="choose another roomName, and another sessionId or Idempotency-Key:"
            " this one is used up",
        )
    return SessionEnded(
        f"the session ended at once: {reason}",
        cure="start another one, with another sessionId or Idempotency-Key;"
        " GET /health/agent tells what an agent lacks",
        retry_after=5,
    )
