"""Start a session: the use case behind the API and everything else that starts sessions."""

import asyncio
import secrets
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from domain.access.principal import Principal
from domain.agents.catalogs import Catalog
from domain.agents.config import ConfigWarning
from domain.agents.config_summary import config_summary
from domain.agents.ports import AgentServers
from domain.errors import (
    Conflict,
    EverlineError,
    NotFound,
    RoomNameTaken,
    StorageUnavailable,
    Unavailable,
)
from domain.ids import check_caller_identity, check_id, livekit_room_name, local_room_name
from domain.sessions.end_reasons import EndReason
from domain.sessions.ports import Installation, Rooms, Sessions, Started
from domain.sessions.rooms import owner_of_room
from domain.sessions.session import SessionInput, SessionStatus, Stage
from services.access.quotas import SessionQuota
from services.agents.capabilities import EVERYTHING, Capabilities
from services.agents.checks import prompt_warnings
from services.agents.configuration import Resolved, named_in, resolve
from services.agents.health import CHECK_SECONDS, REMEMBERED, agents_check
from services.agents.saved_agents import Agents
from services.sessions.start import StartRequest
from services.sessions.webhook_receipts import LiveKitWebhooks

log = structlog.get_logger()

WAIT_SECONDS = {Stage.ACCEPTED: 0.0, Stage.DISPATCHED: 10.0, Stage.JOINED: 30.0}
"""How long a start waits for its stage; after that, the session continues by itself."""
ROOM_CHECK_SECONDS = 1.0
"""How long a start may take to check who owns its room; the workflow checks as well."""


class SessionEnded(Unavailable):
    """The session ended before it reached what the start waited for (HTTP 503)."""

    code = "session_ended"


@dataclass(frozen=True)
class StartedSession:
    """A running session."""

    input: SessionInput
    status: SessionStatus | None
    """Its status when it reached the stage; None if it had not in time."""
    warnings: list[ConfigWarning]
    """Empty if a repeated start resolves to another agent version than the session runs."""


@dataclass
class SessionStarter:
    """Starts sessions, each once however often its request is repeated."""

    sessions: Sessions
    rooms: Rooms
    installation: Installation
    webhooks: LiveKitWebhooks
    """Learns when an agent has joined, because LiveKit must then have sent webhooks."""
    quota: SessionQuota | None
    """None for no limit."""
    agents: Agents | None
    """None without MongoDB."""
    catalog: Catalog
    agent_name: str
    """LiveKit's agent name to dispatch to."""
    archive: bool
    """Whether transcripts are kept."""
    able: Capabilities = EVERYTHING
    agent_servers: AgentServers | None = None
    """To say why no agent joined; None says only that none did."""

    async def start(
        self, principal: Principal, request: StartRequest, stage: Stage
    ) -> StartedSession:
        """Start a session, or find the one that the same request started before.

        Waits at most `WAIT_SECONDS` for the stage.

        Raises:
            EverlineError: nothing was started, or the session has ended already, with the reason.
        """
        try:
            configuration = await self._configuration(principal, request)
        except EverlineError:
            # The agent may have been changed or deleted since an earlier start of this session.
            started = await self._started_before(principal, request, stage)
            if started is None:
                raise
            return _running(started, [])
        resolved = self._input(principal, request, configuration)
        log.info(
            "configuration resolved",
            org=resolved.org,
            session=resolved.session_id,
            agent_version=resolved.agent_version,
            config=config_summary(resolved.config),
            warnings=[f"{warning.field}: {warning.reason}" for warning in configuration.warnings],
        )
        if request.room_name is not None:
            await self._refuse_room_of_another(resolved)
        slot = self.quota.reservation(resolved.key) if self.quota else nullcontext(False)
        async with slot as resolved.slot:
            started = await self.sessions.start(resolved, stage, WAIT_SECONDS[stage])
            if started.closed:
                # Raise inside the block, so that the slot is released.
                raise _over(started, "is closed")
        if started.status and started.status.agent_joined and not started.again:
            self.webhooks.expected(datetime.now(UTC))
        as_resolved = started.input.agent_version == resolved.agent_version
        try:
            return _running(started, configuration.warnings if as_resolved else [])
        except SessionEnded as error:
            if started.status and started.status.end_reason is EndReason.AGENT_NEVER_JOINED:
                await self._explain(error)
            raise

    async def _explain(self, error: SessionEnded) -> None:
        """Add to the error why no agent joined, if the agents' heartbeats tell it."""
        if self.agent_servers is None:
            return
        now = datetime.now(UTC)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                servers = await self.agent_servers.seen_since(now - REMEMBERED)
                receipts = await self.webhooks.receipts()
        except (EverlineError, TimeoutError) as problem:
            log.info("cannot tell which agents there are", reason=str(problem))
            return
        found = agents_check(servers, self.agent_name, now, receipts.external_agent_at)
        if not found.ok:
            error.message = f"{error.message}; {found.detail}"
            error.cure = found.cure

    async def _configuration(self, principal: Principal, request: StartRequest) -> Resolved:
        saved = None
        if request.agent_id is not None:
            if self.agents is None:
                raise StorageUnavailable(
                    "saved agents are kept in MongoDB, which is not configured",
                    field="agentId",
                    cure="set MONGODB_URI, or send the configuration as agentConfig",
                    retry_after=60,
                )
            saved = await self.agents.get(principal.org, request.agent_id)
        model, voice = request.model, request.voice
        with named_in("agentConfig", "model", "voice"):
            resolved = resolve(
                saved, request.agent_config, self.catalog, self.able, model=model, voice=voice
            )
        resolved.warnings.extend(prompt_warnings(resolved.config))
        return resolved

    def _input(
        self, principal: Principal, request: StartRequest, resolved: Resolved
    ) -> SessionInput:
        org, key = principal.org, request.key(principal.org)
        session_id = key.session_id if key else secrets.token_hex(16)
        room_name = check_id(local_room_name(org, request.room_name or session_id), "roomName")
        return SessionInput(
            org=org,
            session_id=session_id,
            room_name=room_name,
            livekit_room=livekit_room_name(org, room_name),
            user_id=principal.user_id,
            caller_identity=check_caller_identity(request.user_identity, "userIdentity"),
            agent_name=self.agent_name,
            config=resolved.config,
            agent_version=resolved.agent_version,
            limits=request.limits,
            request_digest=request.digest(org),
            archive=self.archive,
            metadata=request.metadata,
        )

    async def _started_before(
        self, principal: Principal, request: StartRequest, stage: Stage
    ) -> Started | None:
        """The session that the same request started before, with a saved agent; None if none did.

        Only used if the agent cannot be read: any other start finds the session when it tries to
        start the workflow, which saves first starts this extra request.
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
        """Refuse another session's room before the workflow starts, which would use up the id.

        The workflow checks again, because LiveKit may be down here, and two starts may race.

        Raises:
            RoomNameTaken: the room exists and belongs to another session; nothing was started.
            Unavailable: it belongs to another session, and Temporal is down.
        """
        room = resolved.livekit_room
        try:
            async with asyncio.timeout(ROOM_CHECK_SECONDS):
                found = await self.rooms.list_rooms([room])
        except (EverlineError, TimeoutError) as error:
            reason = str(error) or "LiveKit does not answer in time"
            log.warning("cannot tell who owns the room", room=room, reason=reason)
            return
        if not found:
            return
        installation = await self.installation.id()
        owners = [owner_of_room(other.metadata) for other in found]
        if all(owner and owner.may_be(resolved.key, installation) for owner in owners):
            return
        # A repeated start is answered with its session, whoever owns the room now.
        if not await self.sessions.exists(resolved.key):
            raise RoomNameTaken(
                f"room {room} belongs to another session",
                field="roomName",
                cure="choose another roomName, or leave it out to get a new one",
            )


def _running(started: Started, warnings: list[ConfigWarning]) -> StartedSession:
    status = started.status
    if started.closed:
        raise _over(started, "is closed")
    if status is None or status.ended_at is None:
        return StartedSession(started.input, status, warnings)
    reason = status.reason or "the session has ended"
    if status.end_reason is EndReason.ROOM_NAME_TAKEN:
        raise RoomNameTaken(
            reason,
            field="roomName",
            cure="choose another roomName, and another sessionId or Idempotency-Key:"
            " this one is used up",
        )
    if started.again:
        raise _over(started, f"has ended: {status.reason}")
    raise SessionEnded(
        f"the session has ended: {reason}",
        cure="start another one, with another sessionId or Idempotency-Key;"
        " GET /health/agent says what agents lack",
        retry_after=5,
    )


def _over(started: Started, what: str) -> Conflict:
    return Conflict(
        f"session {started.input.session_id} was started before and {what}",
        field="sessionId",
        cure="use another sessionId or Idempotency-Key for a new session",
    )
