"""`everline keys …`: manages the installation's API keys through the HTTP API."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, cast

import typer

from cli.api_client import Json, call_api
from cli.options import AsJson, OrgOption
from cli.output import print_json, print_list

keys_app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)

_COLUMNS = ("prefix", "name", "user_id", "scopes", "state", "last_used_at", "expires_at")


@keys_app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    user: Annotated[str | None, typer.Option(help="The user its sessions belong to.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write or keys; default: read and write.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May act for other orgs.")] = False,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.001, max=3_650, help="Default: never.")
    ] = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it; it is never shown again."""
    expires = datetime.now(UTC) + timedelta(days=expires_in_days or 0)
    optional = {
        "name": name,
        "user_id": user,
        "scopes": scope,
        "expires_at": expires.isoformat() if expires_in_days else None,
    }
    body = {"is_admin": admin} | {field: value for field, value in optional.items() if value}
    made = call_api(context.obj, "POST", "v1", "keys", body=body, org=org)
    if as_json:
        return print_json(made)
    typer.echo(str(made["key"]))
    typer.echo(f"Key {made['prefix']} of org {made['org']}; it is not shown again.", err=True)


@keys_app.command("list")
def list_keys(context: typer.Context, org: OrgOption = None, as_json: AsJson = False) -> None:
    """List the org's keys by prefix."""
    answer = call_api(context.obj, "GET", "v1", "keys", org=org)
    rows = [_row(key) for key in cast("list[Json]", answer["keys"])]
    print_list(answer, _COLUMNS, rows, "keys list", as_json=as_json)


@keys_app.command("revoke")
def revoke(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="The key's prefix, as `keys list` shows it.")],
    org: OrgOption = None,
) -> None:
    """Revoke a key; it is refused from the next request on."""
    call_api(context.obj, "DELETE", "v1", "keys", prefix, org=org)
    typer.echo(f"Key {prefix} is revoked.")


def _row(key: Json) -> Json:
    scopes = " ".join(cast("list[str]", key["scopes"]))
    expires = key["expires_at"]
    state = "works"
    if key["revoked_at"]:
        state = "revoked"
    elif expires and datetime.fromisoformat(str(expires)) <= datetime.now(UTC):
        state = "expired"
    return {**key, "scopes": f"{scopes} admin" if key["is_admin"] else scopes, "state": state}
