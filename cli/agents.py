"""`everline agents …`: saved agents and their versions, through the HTTP API."""

import json
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

import typer
from rich.console import Console

from cli.api_client import call_api
from stack.errors import StackError
from stack.layout.home import Home

agents_app = typer.Typer(
    help="Save agents, change them, go back to earlier versions.",
    no_args_is_help=True,
    add_completion=False,
)

AgentId = Annotated[str, typer.Argument(help="The agent's id, as `agents list` shows it.")]
Version = Annotated[int, typer.Argument(min=1, help="As `agents versions` shows it.")]
ConfigFile = Annotated[
    Path,
    typer.Argument(help="JSON file with the configuration, `-` for the standard input."),
]
Expected = Annotated[
    int | None,
    typer.Option("--version", min=1, help="Only if this is still the current version."),
]
OrgOption = Annotated[str | None, typer.Option("--org", help="Act for this org (admins only).")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Json = dict[str, object]

_AGENT_COLUMNS = ("agentId", "version", "name", "updatedAt", "updatedBy")
_VERSION_COLUMNS = ("version", "agentName", "updatedAt", "updatedBy", "restoredFrom")


@agents_app.command("list")
def list_agents(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="`nextCursor` of the page before.")] = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """List saved agents, the newest first."""
    answer = _page(context, "/agents", limit, cursor, org)
    if as_json:
        return _print(answer)
    agents = cast("list[Json]", answer["agents"])
    named = [{**agent, "name": cast("Json", agent["config"])["agent_name"]} for agent in agents]
    _show(named, _AGENT_COLUMNS, answer, "everline agents list")


@agents_app.command("get")
def get(
    context: typer.Context,
    agent_id: AgentId,
    version: Annotated[
        int | None, typer.Option(min=1, help="An earlier one; the current one unless given.")
    ] = None,
    org: OrgOption = None,
) -> None:
    """Show an agent as JSON; its secrets are masked."""
    path = _path(agent_id) if version is None else f"{_path(agent_id)}/versions/{version}"
    _print(call_api(_home(context), "GET", path, org=org))


@agents_app.command("create")
def create(context: typer.Context, file: ConfigFile, org: OrgOption = None) -> None:
    """Save a new agent from a file; `agent_name` is needed in it."""
    made = call_api(_home(context), "POST", "/agents", body={"config": _read(file)}, org=org)
    _report(made, "saved")


@agents_app.command("update")
def update(
    context: typer.Context,
    agent_id: AgentId,
    file: ConfigFile,
    expected: Expected = None,
    org: OrgOption = None,
) -> None:
    """Save another configuration as the agent's next version.

    A file that `agents get` printed can be edited and sent as it is: masks keep stored secrets.
    """
    body: Json = {"config": _read(file)}
    changed = call_api(
        _home(context), "PUT", _path(agent_id), body=body, org=org, if_match=_etag(expected)
    )
    _report(changed, "saved")


@agents_app.command("versions")
def versions(
    context: typer.Context,
    agent_id: AgentId,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    cursor: Annotated[str | None, typer.Option(help="`nextCursor` of the page before.")] = None,
    org: OrgOption = None,
    as_json: AsJson = False,
) -> None:
    """List an agent's versions, the current one first."""
    answer = _page(context, f"{_path(agent_id)}/versions", limit, cursor, org)
    if as_json:
        return _print(answer)
    found = cast("list[Json]", answer["versions"])
    _show(found, _VERSION_COLUMNS, answer, f"everline agents versions {agent_id}")


@agents_app.command("rollback")
def rollback(
    context: typer.Context,
    agent_id: AgentId,
    version: Version,
    expected: Expected = None,
    org: OrgOption = None,
) -> None:
    """Save an earlier version's configuration, secrets included, as the next version."""
    path = f"{_path(agent_id)}/versions/{version}/restore"
    restored = call_api(_home(context), "POST", path, org=org, if_match=_etag(expected))
    _report(restored, f"restored from version {version}")


@agents_app.command("delete")
def delete(
    context: typer.Context, agent_id: AgentId, expected: Expected = None, org: OrgOption = None
) -> None:
    """Delete an agent with its versions; its sessions and their transcripts stay."""
    call_api(_home(context), "DELETE", _path(agent_id), org=org, if_match=_etag(expected))
    typer.echo(f"Agent {agent_id} is deleted.")


def _read(file: Path) -> Json:
    """A configuration from a file: by itself, or as `agents get` prints it.

    Raises:
        StackError: There is no such file, or it is not a JSON object.
    """
    name = "the standard input" if str(file) == "-" else str(file)
    try:
        text = (
            typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text("utf-8")
        )
        found: object = json.loads(text)
    except OSError as problem:
        raise StackError(f"{name}: {problem.strerror}") from None
    except ValueError as problem:
        raise StackError(f"{name} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise StackError(f"{name} has to hold a JSON object, the agent's configuration")
    config = cast("Json", found)
    inside = config.get("config")
    return cast("Json", inside) if isinstance(inside, dict) and "agentId" in config else config


def _page(
    context: typer.Context, path: str, limit: int, cursor: str | None, org: str | None
) -> Json:
    query: dict[str, str | int] = {"limit": limit} | ({"cursor": cursor} if cursor else {})
    return call_api(_home(context), "GET", path, query=query, org=org)


def _show(rows: list[Json], columns: tuple[str, ...], answer: Json, command: str) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    lines = [columns, *(tuple(str(row[name] or "-") for name in columns) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        words = (word.ljust(width) for word, width in zip(line, widths, strict=True))
        console.print("  ".join(words).rstrip())
    if answer["nextCursor"]:
        console.print(f"more: {command} --cursor {answer['nextCursor']}")


def _report(answer: Json, what: str) -> None:
    typer.echo(str(answer["agentId"]))
    typer.echo(f"Version {answer['version']} is {what}.", err=True)
    for warning in cast("list[Json]", answer["warnings"]):
        typer.echo(f"{warning['field']}: {warning['reason']}", err=True)


def _etag(version: int | None) -> str | None:
    return None if version is None else f'"{version}"'


def _path(agent_id: str) -> str:
    return f"/agents/{quote(agent_id, safe='')}"


def _home(context: typer.Context) -> Home:
    assert isinstance(context.obj, Home)
    return context.obj


def _print(answer: Json) -> None:
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
