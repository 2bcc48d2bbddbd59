"""`everline webhooks …`: manages endpoints and their deliveries through the HTTP API."""

from typing import Annotated

import typer

from cli.api_client import call_api
from cli.options import OrgOption
from cli.output import print_json

webhooks_app = typer.Typer(help="Webhook endpoints and their deliveries.", no_args_is_help=True)
WebhookId = Annotated[str, typer.Argument(help="The endpoint's id.")]


@webhooks_app.command("create")
def create(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where events are sent.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Such as session.ended; default: every event.")
    ] = None,
    org: OrgOption = None,
) -> None:
    """Create an endpoint; its signing secret is shown only now."""
    body = {"url": url, "events": event or []}
    print_json(call_api(context.obj, "POST", "v1", "webhooks", body=body, org=org))


@webhooks_app.command("list")
def list_webhooks(context: typer.Context, org: OrgOption = None) -> None:
    """List the endpoints, with their health, as JSON."""
    print_json(call_api(context.obj, "GET", "v1", "webhooks", org=org))


@webhooks_app.command("test")
def ping(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Send an endpoint a `webhook.test` event."""
    print_json(call_api(context.obj, "POST", "v1", "webhooks", webhook_id, "test", org=org))


@webhooks_app.command("enable")
def enable(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Enable an endpoint that was disabled."""
    _switch(context, webhook_id, org, enabled=True)


@webhooks_app.command("disable")
def disable(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Send an endpoint no more events until it is enabled."""
    _switch(context, webhook_id, org, enabled=False)


@webhooks_app.command("delete")
def delete(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Delete an endpoint; its pending deliveries become dead letters."""
    call_api(context.obj, "DELETE", "v1", "webhooks", webhook_id, org=org)
    typer.echo(f"Webhook {webhook_id} is deleted.")


def _switch(context: typer.Context, webhook_id: str, org: str | None, *, enabled: bool) -> None:
    body = {"enabled": enabled}
    print_json(call_api(context.obj, "PATCH", "v1", "webhooks", webhook_id, body=body, org=org))


@webhooks_app.command("deliveries")
def deliveries(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="pending, delivered or dead_letter.")] = None,
    webhook_id: Annotated[str | None, typer.Option(help="Only those to this endpoint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option(help="`next` of the previous page.")] = None,
    org: OrgOption = None,
) -> None:
    """List deliveries as JSON, newest event first."""
    query = {"limit": limit, "status": status, "webhook_id": webhook_id, "cursor": cursor}
    print_json(call_api(context.obj, "GET", "v1", "webhooks", "deliveries", query=query, org=org))


@webhooks_app.command("redeliver")
def redeliver(
    context: typer.Context,
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id.")],
    org: OrgOption = None,
) -> None:
    """Send a delivery again, now."""
    print_json(
        call_api(
            context.obj, "POST", "v1", "webhooks", "deliveries", delivery_id, "redeliver", org=org
        )
    )
