"""`everline webhooks …`: endpoints and their deliveries, through the HTTP API."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from cli.api_client import call_api
from stack.layout.home import Home

webhooks_app = typer.Typer(
    help="Webhook endpoints and their deliveries.", no_args_is_help=True, add_completion=False
)

WebhookId = Annotated[str, typer.Argument(help="The endpoint's id.")]
OrgOption = Annotated[str | None, typer.Option("--org", help="Act for this org (admins only).")]

_PATH = "/v1/webhooks"


@webhooks_app.command("create")
def create(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where events are sent.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Such as session.ended; every event if left out.")
    ] = None,
    org: OrgOption = None,
) -> None:
    """Make an endpoint; its signing secret is shown this once."""
    body: dict[str, object] = {"url": url, "events": event or []}
    _print(call_api(_home(context), "POST", _PATH, body=body, org=org))


@webhooks_app.command("list")
def list_webhooks(context: typer.Context, org: OrgOption = None) -> None:
    """List the endpoints, with their health, as JSON."""
    _print(call_api(_home(context), "GET", _PATH, org=org))


@webhooks_app.command("test")
def ping(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Send an endpoint a `webhook.test`."""
    _print(call_api(_home(context), "POST", f"{_PATH}/{_quoted(webhook_id)}/test", org=org))


@webhooks_app.command("enable")
def enable(context: typer.Context, webhook_id: WebhookId, org: OrgOption = None) -> None:
    """Enable an endpoint that was disabled."""
    path = f"{_PATH}/{_quoted(webhook_id)}"
    _print(call_api(_home(context), "PATCH", path, body={"enabled": True}, org=org))


@webhooks_app.command("deliveries")
def deliveries(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="pending, delivered or dead_letter.")] = None,
    webhook_id: Annotated[str | None, typer.Option(help="Only those to this endpoint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before.")] = None,
    org: OrgOption = None,
) -> None:
    """Show the log of deliveries, the newest event first, as JSON."""
    wanted = {"status": status, "webhook_id": webhook_id, "cursor": cursor}
    query = {"limit": limit} | {name: value for name, value in wanted.items() if value}
    _print(call_api(_home(context), "GET", f"{_PATH}/deliveries", query=query, org=org))


@webhooks_app.command("redeliver")
def redeliver(
    context: typer.Context,
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id.")],
    org: OrgOption = None,
) -> None:
    """Send a delivery again, now."""
    path = f"{_PATH}/deliveries/{_quoted(delivery_id)}/redeliver"
    _print(call_api(_home(context), "POST", path, org=org))


def _quoted(word: str) -> str:
    return quote(word, safe="")


def _home(context: typer.Context) -> Home:
    assert isinstance(context.obj, Home)
    return context.obj


def _print(answer: dict[str, object]) -> None:
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
