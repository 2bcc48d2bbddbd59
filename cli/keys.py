"""`everline keys …`: the installation's own API keys, through the HTTP API."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast
from urllib.parse import quote

import typer
from rich.console import Console

from cli.api_client import call_api
from stack.layout.home import Home

keys_app = typer.Typer(
    help="Create, list and revoke API keys.", no_args_is_help=True, add_completion=False
)

OrgOption = Annotated[
    str | None, typer.Option("--org", help="The org; the stack's own unless given (admins only).")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]

_COLUMNS = ("prefix", "name", "user_id", "scopes", "state", "last_used_at", "expires_at")


@keys_app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    user: Annotated[str | None, typer.Option(help="Whom its sessions are recorded for.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write, keys; read and write unless given.")
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May act for other orgs.")] = False,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.001, max=3_650, help="Never unless given.")
    ] = None,
    org: OrgOption = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    body: dict[str, object] = {"is_admin": admin}
    if name:
        body["name"] = name
    if user:
        body["user_id"] = user
    if scope:
        body["scopes"] = scope
    if expires_in_days:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=expires_in_days)).isoformat()
    made = call_api(_home(context), "POST", "/v1/keys", body=body, org=org)
    if as_json:
        typer.echo(json.dumps(made, indent=2))
        return
    typer.echo(str(made["key"]))
    typer.echo(f"Key {made['prefix']} of org {made['org']}; it is not shown again.", err=True)


@keys_app.command("list")
def list_keys(context: typer.Context, org: OrgOption = None, as_json: Json = False) -> None:
    """List the org's keys by their prefixes."""
    answer = call_api(_home(context), "GET", "/v1/keys", org=org)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    keys = cast("list[dict[str, object]]", answer["keys"])
    rows = [_COLUMNS, *(_row(key) for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for row in rows:
        text = "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        console.print(text.rstrip())


@keys_app.command("revoke")
def revoke(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(help="The key's prefix, as `keys list` shows it.")],
    org: OrgOption = None,
) -> None:
    """End a key for good, from the next request on."""
    call_api(_home(context), "DELETE", f"/v1/keys/{quote(prefix, safe='')}", org=org)
    typer.echo(f"Key {prefix} is revoked.")


def _row(key: dict[str, object]) -> tuple[str, ...]:
    scopes = " ".join(cast("list[str]", key["scopes"]))
    shown = {**key, "scopes": f"{scopes} admin" if key["is_admin"] else scopes, "state": "works"}
    expires = key["expires_at"]
    if key["revoked_at"]:
        shown["state"] = "revoked"
    elif expires and datetime.fromisoformat(str(expires)) <= datetime.now(UTC):
        shown["state"] = "expired"
    return tuple(str(shown[column] or "-") for column in _COLUMNS)


def _home(context: typer.Context) -> Home:
    assert isinstance(context.obj, Home)
    return context.obj
