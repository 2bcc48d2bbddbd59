"""API keys of this installation: scopes and records."""

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
    """All changes: start and end sessions, save agents."""
    KEYS = "keys"
    """Create, list and revoke API keys."""


ALL_SCOPES = frozenset(Scope)
USUAL_SCOPES = (Scope.READ, Scope.WRITE)
"""The default scopes: everything except other keys."""


class ApiKeyRecord(BaseModel):
    """The record of a stored key, without the key itself."""

    prefix: str
    """The visible part of the key, which names it."""
    org: str
    user_id: str | None = None
    name: str | None = None
    scopes: Annotated[tuple[Scope, ...], without_unknown(Scope)] = USUAL_SCOPES
    is_admin: bool = False
    created_at: datetime
    created_by: str | None = None
    """The user who created it."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""

    def works_at(self, now: datetime) -> bool:
        """Whether the key is valid at that time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKeyRequest(BaseModel):
    """A key to create."""

    user_id: str | None = None
    name: str | None = None
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    is_admin: bool = False
    expires_at: datetime | None = None
    created_by: str | None = None


class CreatedKey(BaseModel):
    """A new key; it is never shown again."""

    key: str
    record: ApiKeyRecord
