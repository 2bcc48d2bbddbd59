"""Start a session: the use case behind the API and everything else that starts sessions."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from domain.access.principal import Principal
from domain.agents.catalogs import Catalog
from domain.agents.config import ConfigWarning
from domain.agents.config_summary import config_summary
from domain.agents.places import PlaceState
from domain.agents.servers import MORE_PLACES
from domain.errors import (
    Conflict,
    EverlineError,
    NoCapacity,
    NotFound,
    RoomNameTaken,
    StorageUnavailable,
    Unavailable,
)
from domain.ids import (
    SessionKey,
    check_caller_identity,
    check_id,
    livekit_room_name,
    local_room_name,
)
from domain.sessions.end_reasons import EndReason
from domain.sessions.ports import Installation, Rooms, Sessions, Started
from domain.sessions.rooms import owner_of_room
from domain.sessions.session import SessionInput, SessionStatus, Stage
from domain.transcripts.ports import TranscriptRemoval
from services.access.org_quota import OrgQuota
from services.agents.admission import Admission, Admitted
from services.agents.availability import AgentAvailability
from services.agents.capabilities import EVERYTHING, Capabilities
from services.agents.checks import prompt_warnings
from services.agents.configuration import Resolved, named_in, resolve
from services.agents.engine_choice import resolved_voice
from services.agents.health import CHECK_SECONDS, Check
from services.agents.saved_agents import Agents
from services.sessions.start import StartRequest
from services.sessions.webhook_receipts import LiveKitWebhooks

log = structlog.get_logger()

WAIT_SECONDS = {Stage.ACCEPTED: 0.0, Stage.DISPATCHED: 10.0, Stage.JOINED: 30.0}
"""How long a start waits for its stage; after that, the session continues by itself."""
ROOM_CHECK_SECONDS = 1.0
"""How long a start may take to check who owns its room; the workflow checks as well."""
START_CHECK_SECONDS = 0.5
"""How long a start may take to check which agents there are."""
ID_CHECK_SECONDS = 1.0
"""How long a start may take to ask MongoDB whether its session id was used before."""


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
    admitted: Admitted
    """Its place on the agent servers, or in the queue, when it was started."""


@dataclass
class SessionStarter:
    """Starts sessions, each once however often its request is repeated."""

    sessions: Sessions
    rooms: Rooms
    installation: Installation
    webhooks: LiveKitWebhooks
    """Learns when an agent has joined, because LiveKit must then have sent webhooks."""
    quota: OrgQuota
    agents: Agents | None
    """None without MongoDB."""
    catalog: Catalog
    agent_name: str
    """LiveKit's agent name to dispatch to."""
    archive: bool
    """Whether transcripts are kept."""
    able: Capabilities = EVERYTHING
    admission: Admission | None = None
    """None without MongoDB: agents are dispatched without a place."""
    availability: AgentAvailability | None = None
    """To say that no agent will join, or why none did; None says only that none did."""
    transcripts: TranscriptRemoval | None = None
    """To refuse ids that Temporal no longer knows; None without MongoDB."""

    async def start(
        self, principal: Principal, request: StartRequest, stage: Stage
    ) -> StartedSession:
        """Start a session, or find the one that the same request started before.

        Waits at most `WAIT_SECONDS` for the stage.

        Raises:
            EverlineError: nothing was started, or the session has ended already, with the reason.
        """
        self.quota.take_start(principal.org)
        try:
            configuration = await self._configuration(principal, request)
        except EverlineError:
            # The agent may have been changed or deleted since an earlier start of this session.
            started = await self._started_before(principal, request, stage)
            if started is None:
                raise
            return _running(started, [], Admitted(None))
        resolved = self._input(principal, request, configuration)
        log.info(
            "configuration resolved",
            org=resolved.org,
            session=resolved.session_id,
            agent_version=resolved.agent_version,
            config=config_summary(resolved.config),
            warnings=[f"{warning.field}: {warning.reason}" for warning in configuration.warnings],
        )
        agents, _, _ = await asyncio.gather(
            self._check_agents(START_CHECK_SECONDS),
            self._refuse_used_id(resolved.key, given=request.key(principal.org) is not None),
            self._refuse_room_of_another(resolved, given=request.room_name is not None),
        )
        slot = self.quota.reservation(resolved.key)
        async with slot as resolved.slot, self._place(resolved) as admitted:
            resolved.place = admitted.state
            # Who holds a place will get an agent.
            held = admitted.state is PlaceState.RESERVED
            missing = agents if agents and not agents.ok and not held else None
            resolved.no_agent = missing and _in_full(missing)
            started = await self.sessions.start(resolved, stage, WAIT_SECONDS[stage])
            if started.closed:
                # Raise inside the block, so that slot and place are released.
                raise _over(started.input.session_id, "is closed")
        if self.admission and started.again:
            await self.admission.withdraw_from(started.input, admitted)
        if started.status is None and admitted.queue_position and stage is not Stage.ACCEPTED:
            admitted = await self._position_now(started.input.key, admitted)
        if started.status and started.status.agent_joined and not started.again:
            self.webhooks.expected(datetime.now(UTC))
        as_resolved = started.input.agent_version == resolved.agent_version
        warnings = configuration.warnings if as_resolved else []
        if missing and not (started.status and started.status.agent_joined):
            warnings = [*warnings, _warning_of(missing)]
        try:
            return _running(started, warnings, admitted)
        except SessionEnded as error:
            if started.status and started.status.end_reason is EndReason.AGENT_NEVER_JOINED:
                await self._explain(error)
            raise

    def _place(self, resolved: SessionInput) -> AbstractAsyncContextManager[Admitted]:
        if self.admission is None:
            return nullcontext(Admitted(None))
        seconds = resolved.limits.queue_seconds
        return self.admission.place(resolved.key, resolved.agent_name, seconds)

    async def _position_now(self, key: SessionKey, admitted: Admitted) -> Admitted:
        """The position in the queue after the wait for the stage; the earlier one if unknown."""
        try:
            status = await self.sessions.status(key)
        except EverlineError:
            return admitted
        return replace(
            admitted, queue_position=status.queue_position, queue_seconds=status.queue_seconds
        )

    async def _explain(self, error: SessionEnded) -> None:
        """Add to the error why no agent joined, if the agents' heartbeats tell it."""
        found = await self._check_agents(CHECK_SECONDS)
        if found and not found.ok:
            if found.detail not in error.message:
                error.message = f"{error.message}; {found.detail}"
            error.cure = found.cure

    async def _check_agents(self, within: float) -> Check | None:
        return await self.availability.check(within) if self.availability else None

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
        named = request.model or request.voice
        engine = resolved.config.engine
        return SessionInput(
            org=org,
            session_id=session_id,
            room_name=room_name,
            livekit_room=livekit_room_name(org, room_name),
            user_id=principal.user_id,
            caller_identity=check_caller_identity(request.user_identity, "userIdentity"),
            agent_name=self.agent_name,
            config=resolved.config,
            model=engine.llm if named else None,
            voice=resolved_voice(engine) if named else None,
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

    async def _refuse_used_id(self, key: SessionKey, *, given: bool) -> None:
        """Refuse the id of a session that only MongoDB still knows, after Temporal's retention.

        The documents of both would be mixed, or dropped if the old transcript was deleted. Temporal
        alone refuses the ids that it knows.

        Raises:
            Conflict: the id was used before; nothing was started.
            Unavailable: it is known to MongoDB, and Temporal is down.
        """
        if self.transcripts is None or not given:
            return
        try:
            async with asyncio.timeout(ID_CHECK_SECONDS):
                used = await self.transcripts.has_stored(key)
        except (EverlineError, TimeoutError) as error:
            # A start needs only Temporal.
            log.warning(
                "cannot tell whether the session id was used before",
                org=key.org,
                session=key.session_id,
                reason=str(error) or "MongoDB does not answer in time",
            )
            return
        if used and not await self.sessions.exists(key):
            raise _over(key.session_id, "is closed")

    async def _refuse_room_of_another(self, resolved: SessionInput, *, given: bool) -> None:
        """Refuse another session's room before the workflow starts, which would use up the id.

        A name that was not given is the session's own.

        The workflow checks again, because LiveKit may be down here, and two starts may race.

        Raises:
            RoomNameTaken: the room exists and belongs to another session; nothing was started.
            Unavailable: it belongs to another session, and Temporal is down.
        """
        room = resolved.livekit_room
        if not given:
            return
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


def _running(started: Started, warnings: list[ConfigWarning], admitted: Admitted) -> StartedSession:
    status = started.status
    if started.closed:
        raise _over(started.input.session_id, "is closed")
    if status is None or status.ended_at is None:
        return StartedSession(started.input, status, warnings, admitted)
    reason = status.reason or "the session has ended"
    if status.end_reason is EndReason.ROOM_NAME_TAKEN:
        raise RoomNameTaken(
            reason,
            field="roomName",
            cure="choose another roomName, and another sessionId or Idempotency-Key:"
            " this one is used up",
        )
    if started.again:
        raise _over(started.input.session_id, f"has ended: {status.reason}")
    if status.end_reason is EndReason.NO_CAPACITY:
        raise NoCapacity(
            f"the session has ended: {reason}",
            cure=f"{MORE_PLACES}, or raise limits.queue_seconds; start another session, with"
            " another sessionId or Idempotency-Key",
            retry_after=5,
        )
    raise SessionEnded(
        f"the session has ended: {reason}",
        cure="start another one, with another sessionId or Idempotency-Key;"
        " GET /health/agent says what agents lack",
        retry_after=5,
    )


def _warning_of(missing: Check) -> ConfigWarning:
    return ConfigWarning(field="agents", reason=missing.detail, cure=missing.cure)


def _in_full(missing: Check) -> str:
    return f"{missing.detail}; {missing.cure}" if missing.cure else missing.detail


def _over(session_id: str, what: str) -> Conflict:
    return Conflict(
        f"session {session_id} was started before and {what}",
        field="sessionId",
        cure="use another sessionId or Idempotency-Key for a new session",
    )
