"""API keys of this installation's own: what they may do, and what is known of them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel

from domain.json_model import without_unknown


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    """Everything that changes nothing: GET."""
    WRITE = "write"
    """Everything that changes something: start and end sessions, save agents."""
    KEYS = "keys"
    """Create, list and revoke API keys."""


ALL_SCOPES = frozenset(Scope)
USUAL_SCOPES = (Scope.READ, Scope.WRITE)
"""Of a key that names none: it works with everything but other keys."""


class ApiKeyRecord(BaseModel):
    """What is known of a stored key; the key itself is not."""

    prefix: str
    """Names the key; its visible part."""
    org: str
    user_id: str | None = None
    name: str | None = None
    scopes: Annotated[tuple[Scope, ...], without_unknown(Scope)] = USUAL_SCOPES
    is_admin: bool = False
    created_at: datetime
    created_by: str | None = None
    """The user who made it."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""

    def works_at(self, now: datetime) -> bool:
        """Whether the key opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKeyRequest(BaseModel):
    """A key to make."""

    user_id: str | None = None
    name: str | None = None
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    is_admin: bool = False
    expires_at: datetime | None = None
    created_by: str | None = None


class CreatedKey(BaseModel):
    """A key at the one moment at which it can be seen."""

    key: str
    record: ApiKeyRecord
