"""API keys of this installation (`AUTH_PROVIDER=local`): create, list, revoke."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, Field

from api.answers import RequestBody
from api.auth import KEYS_PATH
from api.dependencies import ApiDependencies, Client, Deps, in_mongodb
from api.problems import problems
from api.routing import Router
from domain.access.api_keys import USUAL_SCOPES, ApiKeyRecord, NewKeyRequest, Scope
from domain.access.ports import ApiKeyStore
from domain.access.principal import Principal
from domain.errors import Forbidden, InvalidInput, NotFound
from domain.ids import Identity
from domain.json_model import Time

router = Router(prefix=KEYS_PATH, tags=["keys"])

Prefix = Annotated[str, Path(pattern="^[A-Za-z0-9]{1,64}$")]


class KeyBody(RequestBody):
    """Body of `POST /v1/keys`; everything is optional."""

    name: Annotated[Identity, Field(max_length=200)] | None = None
    user_id: Identity | None = None
    """The user of its sessions; by default your own."""
    scopes: list[Scope] = Field(default=list(USUAL_SCOPES), min_length=1, max_length=len(Scope))
    is_admin: bool = False
    """Whether it may act for other orgs; only an admin can grant that."""
    expires_at: Time | None = None


class KeyCreated(ApiKeyRecord):
    """The new key; `key` is never shown again."""

    key: str


class Keys(BaseModel):
    """The org's keys, the newest first; revoked and expired ones too."""

    keys: list[ApiKeyRecord]


@router.post("", status_code=201, responses=problems(404))
async def create_key(body: KeyBody, response: Response, deps: Deps, client: Client) -> KeyCreated:
    """Create an API key for the org."""
    store = _store(deps)
    _check_grant(body, client)
    further = {
        "user_id": body.user_id or client.user_id,
        "scopes": sorted(set(body.scopes)),
        "created_by": client.user_id,
    }
    request = NewKeyRequest.model_validate(dict(body) | further)
    created = await store.create(client.org, request)
    response.headers["Cache-Control"] = "no-store"
    return KeyCreated(key=created.key, **created.record.model_dump())


@router.get("", responses=problems(404))
async def list_keys(deps: Deps, client: Client) -> Keys:
    """List the org's keys by prefix; the keys themselves are not stored."""
    return Keys(keys=await _store(deps).list_keys(client.org))


@router.delete("/{prefix}", status_code=204)
async def revoke_key(prefix: Prefix, deps: Deps, client: Client) -> None:
    """Revoke a key permanently, from the next request on."""
    if not await _store(deps).revoke(client.org, prefix):
        raise NotFound(f"there is no key {prefix}", field="prefix")


def _check_grant(body: KeyBody, client: Principal) -> None:
    """Nobody can grant more than they have."""
    missing = sorted(scope.value for scope in set(body.scopes) - client.scopes)
    if missing:
        raise Forbidden(f"your own key has no scope {', '.join(missing)}", field="scopes")
    if body.is_admin and not client.is_admin:
        raise Forbidden("only an admin can create an admin's key", field="is_admin")
    if body.expires_at and body.expires_at <= datetime.now(UTC):
        raise InvalidInput("the time has passed", field="expires_at", cure="choose a later time")


def _store(deps: ApiDependencies) -> ApiKeyStore:
    if not deps.keys_are_local:
        raise NotFound(
            "API keys are managed in Pagos",
            cure="create and revoke keys there, or set AUTH_PROVIDER=local",
        )
    cure = "set MONGODB_URI; the bootstrap key works without"
    return in_mongodb(deps.key_store, "API keys are", cure)
