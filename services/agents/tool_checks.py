"""What is checked of the tools and texts of a configuration before a session runs with it."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.variables import variables_in
from domain.errors import InvalidInput

TRANSFER_TOOL = "transfer_call"


def check_tools(config: AgentConfig, catalog: Catalog) -> None:
    """Check what no single field can tell.

    Raises:
        InvalidInput: two tools of one name, or an unknown time zone; naming the field.
    """
    taken = dict.fromkeys(catalog.tool_ids(), "a built-in tool")
    for number, tool in enumerate(config.http_tools):
        field = f"http_tools.{number}.name"
        if tool.name in taken:
            raise InvalidInput(
                f"{tool.name!r} is the name of {taken[tool.name]} already",
                field=field,
                cure="give each tool a name of its own",
            )
        taken[tool.name] = field
    if config.time_zone is not None:
        _check_time_zone(config.time_zone)


def _check_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f"there is no time zone {name!r}",
            field="time_zone",
            cure="use an IANA name like Europe/Vienna",
        ) from None


def tool_warnings(config: AgentConfig) -> list[ConfigWarning]:
    """What the agent will not be able to do."""
    if TRANSFER_TOOL in config.tools and config.transfer is None:
        return [
            ConfigWarning(
                field="transfer",
                reason="transfer_call is enabled and has nowhere to transfer to",
                cure="give transfer.destinations",
            )
        ]
    return []


def variable_warnings(config: AgentConfig) -> list[ConfigWarning]:
    """The dynamic variables that have neither a value nor a default, with where they stand."""
    known = {*config.dynamic_variables, *config.dynamic_variable_defaults}
    places: dict[str, str] = {}
    for field, text in _texts(config):
        for name in sorted(variables_in(text) - known):
            places.setdefault(name, field)
    return [
        ConfigWarning(
            field=field,
            reason=f"the variable {name!r} has no value and no default; it is left out",
            cure=f"give dynamic_variables.{name} or dynamic_variable_defaults.{name}",
        )
        for name, field in places.items()
    ]


def _texts(config: AgentConfig) -> Iterator[tuple[str, str]]:
    start, silence, limit = (
        config.conversation_start,
        config.silence,
        config.max_duration_warning,
    )
    texts: dict[str, str | None] = {
        "prompt": config.prompt,
        "conversation_start.greeting": start.greeting if start and start.who == "ai" else None,
        "silence.nudge_text": silence.nudge_text if silence else None,
        "silence.goodbye_text": silence.goodbye_text if silence else None,
        "max_duration_warning.text": limit.text if limit else None,
        "max_duration_warning.goodbye_text": limit.goodbye_text if limit else None,
    }
    for field, text in texts.items():
        if text:
            yield field, text
    for number, tool in enumerate(config.http_tools):
        for name, text in tool.headers.items():
            yield f"http_tools.{number}.headers.{name}", text
    for number, server in enumerate(config.mcp_servers):
        yield f"mcp_servers.{number}.url", server.url
        for name, text in server.headers.items():
            yield f"mcp_servers.{number}.headers.{name}", text
