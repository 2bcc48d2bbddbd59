"""The request to start a session, and the session that it identifies."""

import hashlib
import json

from pydantic import BaseModel

from domain.agents.config import AgentConfig
from domain.errors import InvalidInput
from domain.ids import SessionKey, check_id, local_room_name, session_id_of_idempotency_key
from domain.sessions.metadata import GivenMetadata
from domain.sessions.session import SessionLimits

NEW_LIMITS = {"caller_hangup_return", "queue_seconds"}
"""Limits that an older release did not know: a retry to a newer one must have the same digest."""


class StartRequest(BaseModel):
    """A request to start a session, the same for both start routes."""

    user_identity: str
    session_id: str | None = None
    idempotency_key: str | None = None
    """Given instead of a session id, which is derived from it."""
    room_name: str | None = None
    agent_id: str | None = None
    agent_config: AgentConfig | None = None
    model: str | None = None
    voice: str | None = None
    metadata: GivenMetadata = {}
    limits: SessionLimits = SessionLimits()

    def digest(self, org: str) -> str:
        """A digest that is the same for a retry, and different for another request."""
        fields = self.model_dump(mode="json", exclude={"agent_config", "idempotency_key"})
        for limit in NEW_LIMITS - self.limits.model_fields_set:
            del fields["limits"][limit]
        if not self.metadata:
            # An older release did not know it.
            del fields["metadata"]
        if self.room_name is not None:
            # A client may send the org's own name or LiveKit's, which the first answer named.
            fields["room_name"] = local_room_name(org, self.room_name)
        # Only the fields that were sent: an explicit default wins over a saved value.
        inline = self.agent_config
        fields["agent_config"] = inline and inline.model_dump(mode="json", exclude_unset=True)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def key(self, org: str) -> SessionKey | None:
        """The session that the request identifies; None if each request starts a new one.

        Raises:
            InvalidInput: the id is malformed, or both an id and a key are given.
        """
        if self.session_id:
            if self.idempotency_key:
                # A retry with only one of them would start a second session.
                raise InvalidInput(
                    "sessionId and Idempotency-Key cannot be combined",
                    field="Idempotency-Key",
                    cure="send one of them: a sessionId starts one session, however often it is"
                    " sent",
                )
            return SessionKey(org, check_id(self.session_id, "sessionId"))
        if self.idempotency_key:
            return SessionKey(org, session_id_of_idempotency_key(org, self.idempotency_key))
        return None
