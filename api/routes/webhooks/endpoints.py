"""Webhook endpoints: the URLs that receive an org's events."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from api.answers import Answer, RequestBody
from api.dependencies import Client, Deps, webhooks_of
from api.problems import problems
from api.routes.webhooks.deliveries import DeliveryAnswer, answer_of
from api.routing import Router
from domain.errors import InvalidInput
from domain.ids import ID_PATTERN
from domain.webhooks.endpoints import MAX_ENDPOINTS, Endpoint, EndpointKey
from domain.webhooks.events import EventType

router = Router(prefix="/v1/webhooks", tags=["webhooks"])

WebhookId = Annotated[str, Path(pattern=ID_PATTERN, description="The endpoint's id.")]


async def endpoint_key(webhook_id: WebhookId, client: Client) -> EndpointKey:
    """The endpoint that the path names, in the client's org."""
    return EndpointKey(client.org, webhook_id)


Key = Annotated[EndpointKey, Depends(endpoint_key)]
Url = Annotated[
    str, Field(min_length=1, max_length=2_000, description="https, on a public address")
]
Events = Annotated[
    list[EventType],
    Field(max_length=len(EventType), description="the events that it receives; all if empty"),
]
Description = Annotated[str | None, Field(max_length=500)]


class WebhookBody(RequestBody):
    """Body of `POST /v1/webhooks`."""

    url: Url
    events: Events = []
    description: Description = None
    enabled: bool = True


class WebhookChange(RequestBody):
    """Body of `PATCH /v1/webhooks/{webhook_id}`; fields that are left out stay the same."""

    url: Url | SkipJsonSchema[None] = None
    events: Events | SkipJsonSchema[None] = None
    description: Description = None
    enabled: bool | SkipJsonSchema[None] = None


class RotateBody(RequestBody):
    """Body of `POST /v1/webhooks/{webhook_id}/rotate`."""

    overlap_hours: float = Field(
        default=24, ge=0, le=168, description="how long the old secret is also used to sign"
    )


class WebhookAnswer(Answer):
    """An endpoint, without its secret."""

    webhook_id: str
    url: str
    events: list[EventType]
    description: str | None
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None = Field(description="why Everline disabled it; null if you did")
    failing_since: datetime | None = Field(description="the first failure after its last success")
    created_at: datetime
    updated_at: datetime
    secrets_expire_at: list[datetime] = Field(description="when each rotated secret expires")


class WebhookCreated(WebhookAnswer):
    """An endpoint with its signing secret, which is never shown again."""

    secret: str


class WebhookList(BaseModel):
    """The org's endpoints, the oldest first."""

    webhooks: list[WebhookAnswer] = Field(max_length=2 * MAX_ENDPOINTS)


@router.post("", status_code=201, responses=problems(409))
async def create_webhook(
    body: WebhookBody, response: Response, deps: Deps, client: Client
) -> WebhookCreated:
    """Create an endpoint. Its signing secret is in the response, and is never shown again."""
    now = datetime.now(UTC)
    made = await webhooks_of(deps).create(
        client.org, body.url, body.events, body.description, body.enabled, now
    )
    response.headers["Location"] = f"/v1/webhooks/{made.endpoint_id}"
    return _with_secret(made, response)


@router.get("")
async def list_webhooks(deps: Deps, client: Client) -> WebhookList:
    """List the org's endpoints."""
    now = datetime.now(UTC)
    found = await webhooks_of(deps).endpoints.list_endpoints(client.org)
    return WebhookList(webhooks=[_answer(endpoint, now) for endpoint in found])


@router.get("/{webhook_id}")
async def get_webhook(key: Key, deps: Deps) -> WebhookAnswer:
    """Get an endpoint: whether it is enabled or failing, and why it was disabled."""
    return _answer(await webhooks_of(deps).endpoint(key), datetime.now(UTC))


@router.patch("/{webhook_id}")
async def change_webhook(key: Key, body: WebhookChange, deps: Deps) -> WebhookAnswer:
    """Change the URL, events or description, or enable or disable it; its secret is kept."""
    wanted = body.model_dump(exclude_unset=True)
    for name in ("url", "events", "enabled"):
        if name in wanted and wanted[name] is None:
            raise InvalidInput(f"{name} cannot be null", field=name, cure="leave it out")
    now = datetime.now(UTC)
    return _answer(await webhooks_of(deps).change(key, wanted, now), now)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(key: Key, deps: Deps) -> None:
    """Delete an endpoint; its pending deliveries become dead letters."""
    await webhooks_of(deps).delete(key)


@router.post("/{webhook_id}/rotate", responses=problems(409))
async def rotate_webhook_secret(
    key: Key, deps: Deps, response: Response, body: RotateBody | None = None
) -> WebhookCreated:
    """Create a new signing secret; for a while deliveries are signed with both secrets."""
    overlap = timedelta(hours=(body or RotateBody()).overlap_hours)
    return _with_secret(await webhooks_of(deps).rotate(key, overlap, datetime.now(UTC)), response)


@router.post("/{webhook_id}/test", status_code=202, responses=problems(409))
async def ping_webhook(key: Key, deps: Deps) -> DeliveryAnswer:
    """Send the endpoint a `webhook.test` event; the delivery shows the result."""
    return answer_of(await webhooks_of(deps).test(key, datetime.now(UTC)))


def _with_secret(endpoint: Endpoint, response: Response) -> WebhookCreated:
    response.headers["Cache-Control"] = "no-store"
    shown = _answer(endpoint, datetime.now(UTC))
    return WebhookCreated.of(shown, secret=endpoint.secrets[0].value)


def _answer(endpoint: Endpoint, now: datetime) -> WebhookAnswer:
    signing = [secret for secret in endpoint.secrets if secret.signs_at(now)]
    return WebhookAnswer.of(
        endpoint,
        webhook_id=endpoint.endpoint_id,
        secrets_expire_at=[secret.expires_at for secret in signing if secret.expires_at],
    )
