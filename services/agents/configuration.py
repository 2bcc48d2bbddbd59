"""From what was saved and what was sent to the configuration that a session runs with."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig, ConfigWarning, KnowledgeBase, LyzrRag
from domain.agents.masking import with_stored_secrets
from domain.agents.merging import merged
from domain.agents.saved_agent import SavedAgent
from domain.errors import InvalidInput, NotFound
from domain.sessions.dispatch_metadata import MAX_CONFIG_BYTES
from services.agents.engine_choice import checked_engine, choose_engine
from services.agents.sound_choice import check_avatar, sound_warnings
from services.agents.tool_checks import check_tools, tool_warnings, variable_warnings

SEARCH_TOOL = "search_knowledge_base"


@dataclass(frozen=True)
class Resolved:
    """A configuration that is ready to be dispatched.

    Attributes:
        config: complete, and checked against the catalog.
        agent_version: the version of the saved agent it is based on; None without one.
        warnings: what has another effect than it seems to have.
    """

    config: AgentConfig
    agent_version: int | None
    warnings: list[ConfigWarning]


@contextmanager
def named_in(body_field: str, *beside: str) -> Generator[None]:
    """Name the fields of a configuration as they stand in a body: `config.engine.llm`.

    Args:
        body_field: the field of the body that has the configuration.
        beside: fields of the body itself that mean a part of the configuration.
    """
    try:
        yield
    except InvalidInput as error:
        if error.field not in beside:
            error.field = f"{body_field}.{error.field}" if error.field else body_field
        raise


def combine(saved: SavedAgent | None, inline: AgentConfig | None) -> AgentConfig:
    """The saved configuration with the inline one on top; `domain.merging` has the rules.

    Raises:
        InvalidInput: a masked secret that is not stored.
    """
    given = inline or AgentConfig()
    if saved is None:
        return with_stored_secrets(given, None)
    # Sessions and transcripts are found by the id of the saved agent, whatever its fields say.
    return merged(saved.config, given).model_copy(update={"agent_id": saved.agent_id})


def resolve(
    saved: SavedAgent | None,
    inline: AgentConfig | None,
    catalog: Catalog,
    *,
    model: str | None = None,
    voice: str | None = None,
) -> Resolved:
    """Merge, choose the engine, check it, drop unknown tools, and derive what is not said.

    Raises:
        InvalidInput: naming the field in the configuration, if one is wrong, and what may stand
            there; see `named_in`.
    """
    config = choose_engine(combine(saved, inline), model, voice, catalog)
    engine, warnings = checked_engine(
        config.engine,
        catalog,
        llm_field="model" if model else "engine.llm",
        voice_field="voice" if voice else None,
    )
    config = with_knowledge(config.model_copy(update={"engine": engine}))
    config, dropped = with_known_tools(config, catalog)
    check_tools(config, catalog)
    check_avatar(config)
    _check_size(config)
    return Resolved(
        config=config,
        agent_version=saved.version if saved else None,
        warnings=[
            *warnings,
            *dropped,
            *_knowledge_warnings(config),
            *sound_warnings(config),
            *tool_warnings(config),
            *variable_warnings(config),
        ],
    )


def _check_size(config: AgentConfig) -> None:
    size = len(config.model_dump_json(exclude_none=True).encode())
    if size > MAX_CONFIG_BYTES:
        raise InvalidInput(
            f"the agent's configuration is {size} bytes as JSON, at most {MAX_CONFIG_BYTES} fit",
            cure="shorten the prompt, or move its contents into a knowledge base",
        )


def with_knowledge(config: AgentConfig) -> AgentConfig:
    """The configuration with the search tool and the sources that an enabled knowledge base gives.

    Sources that the configuration names itself (`lyzr_rag`, `agentic_rag`) go first.

    Raises:
        InvalidInput: half of a source, naming the other half.
    """
    base = config.knowledge_base
    if base is None or not base.enabled:
        return config
    tools = config.tools if SEARCH_TOOL in config.tools else [*config.tools, SEARCH_TOOL]
    return config.model_copy(
        update={
            "tools": tools,
            "lyzr_rag": config.lyzr_rag or base.lyzr_rag or _flat_source(base),
            "agentic_rag": config.agentic_rag or base.agentic_rag,
        }
    )


def _flat_source(base: KnowledgeBase) -> LyzrRag | None:
    if base.base_url and base.rag_id:
        return LyzrRag(
            base_url=base.base_url, rag_id=base.rag_id, rag_name=base.rag_name, params=base.params
        )
    if base.base_url or base.rag_id:
        missing = "rag_id" if base.base_url else "base_url"
        raise InvalidInput(
            f"the knowledge base has no {missing}",
            field=f"knowledge_base.{missing}",
            cure="give base_url and rag_id together",
        )
    return None


def with_known_tools(
    config: AgentConfig, catalog: Catalog
) -> tuple[AgentConfig, list[ConfigWarning]]:
    """The configuration with each tool once, and without those that do not exist."""
    known = catalog.tool_ids()
    named = dict.fromkeys(config.tools)
    unknown = [tool for tool in named if tool not in known]
    warnings = [
        ConfigWarning(
            field="tools",
            reason=f"there is no tool {tool[:100]!r}; sessions run without it",
            cure=f"use one of: {', '.join(sorted(known))}",
        )
        for tool in unknown
    ]
    kept = [tool for tool in named if tool in known]
    return config.model_copy(update={"tools": kept}), warnings


def _knowledge_warnings(config: AgentConfig) -> list[ConfigWarning]:
    base = config.knowledge_base
    if base is None or not base.enabled or config.lyzr_rag or config.agentic_rag:
        return []
    return [
        ConfigWarning(
            field="knowledge_base",
            reason="the knowledge base is enabled and has no source to search in",
            cure="give knowledge_base.base_url and rag_id, or lyzr_rag, or agentic_rag",
        )
    ]


def no_such_agent(agent_id: str) -> NotFound:
    """The error for an id that the org has no agent of."""
    return NotFound(f"there is no agent {agent_id!r}", field="agentId")
