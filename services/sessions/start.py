"""From a start request to the complete input of a session's workflow."""

import hashlib
import json
import secrets

from pydantic import BaseModel

from domain.access.principal import Principal
from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig
from domain.errors import InvalidInput, StorageUnavailable
from domain.ids import (
    SessionKey,
    check_id,
    livekit_room_name,
    local_room_name,
    session_id_of_idempotency_key,
)
from domain.sessions.session import SessionInput, SessionLimits
from services.agents.configuration import Resolved, named_in, resolve
from services.agents.saved_agents import Agents


class StartRequest(BaseModel):
    """What a caller of the API asks for; both start routes mean the same."""

    user_identity: str
    session_id: str | None = None
    idempotency_key: str | None = None
    """Becomes the session id; sent instead of one."""
    room_name: str | None = None
    agent_id: str | None = None
    agent_config: AgentConfig | None = None
    model: str | None = None
    voice: str | None = None
    limits: SessionLimits = SessionLimits()

    def digest(self, org: str) -> str:
        """The same for a retry, another one for another request."""
        fields = self.model_dump(mode="json", exclude={"agent_config", "idempotency_key"})
        if self.room_name is not None:
            # Both of its names are sent: its own, and LiveKit's as the first answer told it.
            fields["room_name"] = local_room_name(org, self.room_name)
        # Only what was sent: an explicit default wins over a saved value, an absent one does not.
        inline = self.agent_config
        fields["agent_config"] = inline and inline.model_dump(mode="json", exclude_unset=True)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def key(self, org: str) -> SessionKey | None:
        """The session that a repeat of the request is about; None if each one starts a new one.

        Raises:
            InvalidInput: the id is malformed, or both an id and a key are given.
        """
        if self.session_id:
            if self.idempotency_key:
                # Either could come again with another one beside it: that would be two sessions.
                raise InvalidInput(
                    "a start is repeated under its sessionId or under its Idempotency-Key,"
                    " not both",
                    field="Idempotency-Key",
                    cure="send one of them: a sessionId already starts one session,"
                    " however often sent",
                )
            return SessionKey(org, check_id(self.session_id, "sessionId"))
        if self.idempotency_key:
            return SessionKey(org, session_id_of_idempotency_key(org, self.idempotency_key))
        return None


async def resolved_configuration(
    request: StartRequest, principal: Principal, agents: Agents | None, catalog: Catalog
) -> Resolved:
    """The configuration that a start request means, for the org that makes it.

    Raises:
        InvalidInput: naming the field, and what may stand there.
        NotFound: the org has no such saved agent.
        StorageUnavailable: a saved agent is named, and MongoDB is not configured or is away.
    """
    saved = None
    if request.agent_id is not None:
        if agents is None:
            raise StorageUnavailable(
                "saved agents are kept in MongoDB, which is not configured",
                field="agentId",
                cure="set MONGODB_URI, or send the configuration as agentConfig",
                retry_after=60,
            )
        saved = await agents.get(principal.org, request.agent_id)
    model, voice = request.model, request.voice
    with named_in("agentConfig", "model", "voice"):
        return resolve(saved, request.agent_config, catalog, model=model, voice=voice)


def session_input(
    request: StartRequest,
    resolved: Resolved,
    principal: Principal,
    *,
    agent_name: str,
    archive: bool,
) -> SessionInput:
    """The complete input of a session, from a start request and what it resolves to.

    Raises:
        InvalidInput: an id or a name is malformed, or both an id and a key are given.
    """
    key = request.key(principal.org)
    session_id = key.session_id if key else secrets.token_hex(16)
    room_name = check_id(
        local_room_name(principal.org, request.room_name or session_id), "roomName"
    )
    return SessionInput(
        org=principal.org,
        session_id=session_id,
        room_name=room_name,
        livekit_room=livekit_room_name(principal.org, room_name),
        user_id=principal.user_id,
        caller_identity=request.user_identity,
        agent_name=agent_name,
        config=resolved.config,
        agent_version=resolved.agent_version,
        limits=request.limits,
        request_digest=request.digest(principal.org),
        archive=archive,
    )
