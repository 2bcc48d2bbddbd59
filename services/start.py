"""From a start request to the complete input of a session's workflow."""

import hashlib
import secrets

from pydantic import BaseModel

from domain.agent_config import AgentConfig
from domain.errors import NotFound, StorageUnavailable
from domain.ids import check_id, livekit_room_name, local_room_name, session_id_of_idempotency_key
from domain.ports import Principal
from domain.session import SessionInput, SessionLimits
from services.engine_choice import choose_engine


class StartRequest(BaseModel):
    """What a caller of the API asks for; both start routes mean the same."""

    user_identity: str
    session_id: str | None = None
    room_name: str | None = None
    agent_id: str | None = None
    agent_config: AgentConfig | None = None
    model: str | None = None
    voice: str | None = None
    limits: SessionLimits = SessionLimits()

    def digest(self) -> str:
        """The same for a retry, another one for another request."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def session_input(
    request: StartRequest,
    principal: Principal,
    *,
    agent_name: str,
    idempotency_key: str | None,
    archive: bool,
) -> SessionInput:
    """Resolve a start request for an org.

    Raises:
        InvalidInput: an id or a name is malformed.
        NotFound: there is no such saved agent.
        StorageUnavailable: a saved agent is named and there is no MongoDB.
    """
    session_id = _session_id(request, principal.org, idempotency_key)
    room_name = check_id(
        local_room_name(principal.org, request.room_name or session_id), "roomName"
    )
    config = choose_engine(_config(request, archive), request.model, request.voice)
    return SessionInput(
        org=principal.org,
        session_id=session_id,
        room_name=room_name,
        livekit_room=livekit_room_name(principal.org, room_name),
        user_id=principal.user_id,
        caller_identity=request.user_identity,
        agent_name=agent_name,
        config=config,
        limits=request.limits,
        request_digest=request.digest(),
        archive=archive,
    )


def _session_id(request: StartRequest, org: str, idempotency_key: str | None) -> str:
    if request.session_id:
        return check_id(request.session_id, "sessionId")
    if idempotency_key:
        return session_id_of_idempotency_key(org, idempotency_key)
    return secrets.token_hex(16)


def _config(request: StartRequest, archive: bool) -> AgentConfig:
    if request.agent_id is None:
        return request.agent_config or AgentConfig()
    if not archive:
        raise StorageUnavailable(
            "saved agents are kept in MongoDB, which is not configured",
            field="agentId",
            cure="set MONGODB_URI, or send the configuration as agentConfig",
        )
    raise NotFound(
        f"there is no agent {request.agent_id!r}",
        field="agentId",
        cure="send the configuration as agentConfig",
    )
