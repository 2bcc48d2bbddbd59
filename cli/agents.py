"""`everline agents …`: manages saved agents and their versions through the HTTP API."""

from pathlib import Path
from typing import Annotated, cast

import typer

from cli.api_client import Json, call_api
from cli.config_file import read_config
from cli.options import AsJson, OrgOption
from cli.output import print_json, print_list

agents_app = typer.Typer(
    help="Save and change agents, and restore earlier versions.", no_args_is_help=True
)

AgentId = Annotated[str, typer.Argument(help="The agent's id, as `agents list` shows it.")]
Version = Annotated[int, typer.Argument(min=1, help="As `agents versions` shows it.")]
ConfigFile = Annotated[
    Path, typer.Argument(help="JSON file with the configuration, `-` for standard input.")
]
Expected = Annotated[
    int | None,
    typer.Option("--version", min=1, help="Only if this is still the current version."),
]
Limit = Annotated[int, typer.Option(min=1, max=100)]
Cursor = Annotated[str | None, typer.Option(help="`nextCursor` of the previous page.")]

_AGENT_COLUMNS = ("agentId", "version", "name", "updatedAt", "updatedBy")
_SERVER_COLUMNS = ("server", "agentName", "version", "size", "running", "free", "lastHeartbeat")
_VERSION_COLUMNS = ("version", "agentName", "updatedAt", "updatedBy", "restoredFrom")


@agents_app.command("list")
def list_agents(
    context: typer.Context,
    limit: Limit = 20,
    cursor: Cursor = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """List saved agents, newest first."""
    query = {"limit": limit, "cursor": cursor}
    answer = call_api(context.obj, "GET", "agents", query=query, org=org)
    agents = cast("list[Json]", answer["agents"])
    rows = [agent | {"name": cast("Json", agent["config"])["agent_name"]} for agent in agents]
    print_list(answer, _AGENT_COLUMNS, rows, "agents list", as_json=as_json)


@agents_app.command("servers")
def servers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the agent servers, how full they are, and how many sessions wait for a place."""
    health = call_api(context.obj, "GET", "health", "agent", accept=503)
    rows = [_server(server) for server in cast("list[Json]", health["servers"])]
    load = cast("Json | None", health["load"])
    print_list({"load": load, "servers": rows}, _SERVER_COLUMNS, rows, "", as_json=as_json)
    if load and not as_json:
        wait = cast("float | None", load["oldest_wait_seconds"])
        longest = "" if wait is None else f", the first for {wait:.0f} s"
        typer.echo(
            f"{load['running']} of {load['size']} places in use, {load['reserved']} reserved;"
            f" {load['queued']} sessions wait for one{longest}"
        )


@agents_app.command("get")
def get(
    context: typer.Context,
    agent_id: AgentId,
    version: Annotated[
        int | None, typer.Option(min=1, help="An earlier version; default: the current one.")
    ] = None,
    org: OrgOption = None,
) -> None:
    """Show an agent as JSON; its secrets are masked."""
    path = ("versions", str(version)) if version else ()
    print_json(call_api(context.obj, "GET", "agents", agent_id, *path, org=org))


@agents_app.command("create")
def create(context: typer.Context, file: ConfigFile, org: OrgOption = None) -> None:
    """Save a new agent from a file, which must give its `agent_name`."""
    body = {"config": read_config(file)}
    _report(call_api(context.obj, "POST", "agents", body=body, org=org), "saved")


@agents_app.command("update")
def update(
    context: typer.Context,
    agent_id: AgentId,
    file: ConfigFile,
    expected: Expected = None,
    org: OrgOption = None,
) -> None:
    """Save a configuration as the agent's next version.

    The output of `agents get` can be edited and sent back: masked secrets keep their stored value.
    """
    body, path = {"config": read_config(file)}, ("agents", agent_id)
    answer = call_api(context.obj, "PUT", *path, body=body, org=org, if_version=expected)
    _report(answer, "saved")


@agents_app.command("versions")
def versions(
    context: typer.Context,
    agent_id: AgentId,
    limit: Limit = 20,
    cursor: Cursor = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """List an agent's versions, the current one first."""
    query = {"limit": limit, "cursor": cursor}
    answer = call_api(context.obj, "GET", "agents", agent_id, "versions", query=query, org=org)
    rows = cast("list[Json]", answer["versions"])
    print_list(answer, _VERSION_COLUMNS, rows, f"agents versions {agent_id}", as_json=as_json)


@agents_app.command("rollback")
def rollback(
    context: typer.Context,
    agent_id: AgentId,
    version: Version,
    expected: Expected = None,
    org: OrgOption = None,
) -> None:
    """Save an earlier version's configuration, including its secrets, as the next version."""
    path = ("agents", agent_id, "versions", str(version), "restore")
    restored = call_api(context.obj, "POST", *path, org=org, if_version=expected)
    _report(restored, f"restored from version {version}")


@agents_app.command("delete")
def delete(
    context: typer.Context, agent_id: AgentId, expected: Expected = None, org: OrgOption = None
) -> None:
    """Delete an agent and its versions; its sessions and their transcripts stay."""
    call_api(context.obj, "DELETE", "agents", agent_id, org=org, if_version=expected)
    typer.echo(f"Agent {agent_id} is deleted.")


def _report(answer: Json, what: str) -> None:
    typer.echo(str(answer["agentId"]))
    typer.echo(f"Version {answer['version']} is {what}.", err=True)
    for warning in cast("list[Json]", answer["warnings"]):
        typer.echo(f"{warning['field']}: {warning['reason']}", err=True)


def _server(server: Json) -> Json:
    running, size = len(cast("list[Json]", server["jobs"])), cast("int", server["max_jobs"])
    free = server["free"] if server["free"] is not None else max(size - running, 0)
    return {
        "server": server["server_id"],
        "agentName": server["agent_name"],
        "version": server["version"],
        "size": str(size),
        "running": str(running),
        "free": str(free),
        "lastHeartbeat": server["last_heartbeat"],
        "note": "draining" if server["draining"] else "",
    }
