"""Authentication: who makes a request, for which org, and whether they may.

`x-api-key` names the caller. An admin names another org by `x-org-id`, and each such request is
logged. Anybody else may only repeat their own org; every other value answers 403, whether that org
exists or not.
"""

import structlog
from fastapi import Request

from api.limits.unknown_keys import UnknownKeys
from domain.access.api_keys import Scope
from domain.access.ports import ApiKeys
from domain.access.principal import Principal
from domain.errors import Forbidden, Unauthenticated
from domain.ids import check_id
from services.access.rate_limits import RequestRates

log = structlog.get_logger()

ORG_HEADER = "x-org-id"
KEYS_PATH = "/v1/keys"
_READING = ("GET", "HEAD", "OPTIONS")


async def authenticate(
    request: Request,
    keys: ApiKeys,
    unknown: UnknownKeys,
    rates: RequestRates,
    api_key: str | None,
    org: str | None,
) -> Principal:
    """The principal of a request, for the org that it acts for.

    Raises:
        Unauthenticated: no key, or one that is not known.
        Forbidden: the key may not do this, or may not act for that org.
        TooManyRequests: the key's org sends requests too fast, or the client too many unknown keys.
        Unavailable: the key cannot be looked up now.
    """
    if not api_key:
        raise Unauthenticated(
            "this route needs an API key",
            field="x-api-key",
            cure="send your key in the x-api-key header",
        )
    address = request.client.host if request.client else ""
    unknown.check(address, api_key)
    found = await keys.resolve(api_key)
    if found is None:
        unknown.note_unknown(address)
        raise Unauthenticated("the API key is not known", field="x-api-key")
    unknown.note_valid(api_key)
    request.state.org = found.org
    rates.take(found.org)
    _check_scope(request, found)
    if org is None or org == found.org:
        return found
    return _for_another_org(request, found, org)


def needed_scope(method: str, path: str) -> Scope:
    """The scope that a route requires."""
    if path == KEYS_PATH or path.startswith(f"{KEYS_PATH}/"):
        return Scope.KEYS
    return Scope.READ if method in _READING else Scope.WRITE


def _check_scope(request: Request, found: Principal) -> None:
    needed = needed_scope(request.method, request.scope["route"].path)
    if needed not in found.scopes:
        raise Forbidden(
            f"the API key has no scope {needed.value!r}",
            field="x-api-key",
            cure=f"use a key that was created with the scope {needed.value!r}",
        )


def _for_another_org(request: Request, found: Principal, org: str) -> Principal:
    if not found.is_admin:
        raise Forbidden("only an admin may name another org", field=ORG_HEADER)
    check_id(org, ORG_HEADER)
    log.warning(
        "admin acts for another org",
        org=org,
        admin_org=found.org,
        admin_user=found.user_id,
        method=request.method,
        route=request.scope["route"].path,
        parameters=dict(request.path_params),
        request_id=getattr(request.state, "request_id", None),
    )
    request.state.org = org
    return found.model_copy(update={"org": org})
