"""Who makes a request, and for which org."""

from pydantic import BaseModel

from domain.access.api_keys import ALL_SCOPES, Scope


class Principal(BaseModel):
    """Who makes a request, and for which org."""

    org: str
    user_id: str | None = None
    is_admin: bool = False
    scopes: frozenset[Scope] = ALL_SCOPES
