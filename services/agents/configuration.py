"""Resolve a saved agent and what a request sends to the configuration that a session runs with."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig, ConfigWarning, LyzrRag
from domain.agents.masking import with_stored_secrets
from domain.agents.merging import merged
from domain.agents.saved_agent import SavedAgent
from domain.errors import InvalidInput, NotFound
from domain.sessions.dispatch_metadata import MAX_CONFIG_BYTES
from domain.suggestions import suggestion
from services.agents.capabilities import EVERYTHING, Capabilities
from services.agents.checks import check_avatar, check_tools, warnings_of
from services.agents.engine_choice import choose_engine

SEARCH_TOOL = "search_knowledge_base"


@dataclass(frozen=True)
class Resolved:
    """A configuration that is ready to be dispatched."""

    config: AgentConfig
    """Complete, and checked against the catalog."""
    agent_version: int | None
    """The version of the saved agent that it is based on; None without one."""
    warnings: list[ConfigWarning]


@contextmanager
def named_in(body_field: str, *beside: str) -> Generator[None]:
    """Prefix the fields in errors with `body_field`, as in `config.engine.llm`.

    The fields in `beside` belong to the body itself and keep their names.
    """
    try:
        yield
    except InvalidInput as error:
        if error.field not in beside:
            error.field = f"{body_field}.{error.field}" if error.field else body_field
        raise


def resolve(
    saved: SavedAgent | None,
    inline: AgentConfig | None,
    catalog: Catalog,
    able: Capabilities = EVERYTHING,
    *,
    model: str | None = None,
    voice: str | None = None,
) -> Resolved:
    """Merge as `domain.agents.merging` says, choose and check the engine, drop unknown tools.

    Raises:
        InvalidInput: a field is wrong, or a masked secret is not stored. The error names the field
            within the configuration (see `named_in`) and the values that it may have.
    """
    given = inline or AgentConfig()
    if saved is None:
        config = with_stored_secrets(given, None)
    else:
        # Sessions and transcripts are found by the saved agent's id, whatever its fields say.
        config = merged(saved.config, given).model_copy(update={"agent_id": saved.agent_id})
    engine, warnings = choose_engine(config.engine, model, voice, catalog)
    config = _with_knowledge(config.model_copy(update={"engine": engine}))
    known = catalog.tool_ids()
    named = dict.fromkeys(config.tools)
    config = config.model_copy(update={"tools": [tool for tool in named if tool in known]})
    check_tools(config, catalog)
    check_avatar(config)
    size = len(config.model_dump_json(exclude_none=True).encode())
    if size > MAX_CONFIG_BYTES:
        raise InvalidInput(
            f"the agent's configuration is {size} bytes as JSON, at most {MAX_CONFIG_BYTES} fit",
            cure="shorten the prompt, or move its contents into a knowledge base",
        )
    warnings += (
        ConfigWarning(
            field="tools",
            reason=f"there is no tool {tool[:100]!r}; sessions run without it",
            cure=suggestion(tool, sorted(known)),
        )
        for tool in named
        if tool not in known
    )
    version = saved.version if saved else None
    return Resolved(config, version, [*warnings, *warnings_of(config, able)])


def _with_knowledge(config: AgentConfig) -> AgentConfig:
    """The configuration with the search tool and the sources of an enabled knowledge base.

    Sources that the configuration names itself (`lyzr_rag`, `agentic_rag`) take precedence.

    Raises:
        InvalidInput: half of a source, naming the other half.
    """
    base = config.knowledge_base
    if base is None or not base.enabled:
        return config
    source = config.lyzr_rag or base.lyzr_rag
    if source is None and base.base_url and base.rag_id:
        source = LyzrRag(
            base_url=base.base_url, rag_id=base.rag_id, rag_name=base.rag_name, params=base.params
        )
    elif source is None and (base.base_url or base.rag_id):
        missing = "rag_id" if base.base_url else "base_url"
        raise InvalidInput(
            f"the knowledge base has no {missing}",
            field=f"knowledge_base.{missing}",
            cure="give base_url and rag_id together",
        )
    return config.model_copy(
        update={
            "tools": [*config.tools, SEARCH_TOOL],
            "lyzr_rag": source,
            "agentic_rag": config.agentic_rag or base.agentic_rag,
        }
    )


def no_such_agent(agent_id: str) -> NotFound:
    """The error for an id of which the org has no agent."""
    return NotFound(f"there is no agent {agent_id!r}", field="agentId")
