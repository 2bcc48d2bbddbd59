"""Checks of a whole configuration before a session runs with it, and warnings about it."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.sound_config import (
    AVATAR_PROVIDERS,
    CLIPS,
    LOCAL_NOISE_CANCELLATION,
    NOISE_CANCELLATION,
    clip_name,
    noise_cancellation_type,
)
from domain.agents.variables import variables_in
from domain.errors import InvalidInput
from domain.suggestions import suggestion
from services.agents.capabilities import Capabilities

TRANSFER_TOOL = "transfer_call"


def check_tools(config: AgentConfig, catalog: Catalog) -> None:
    """Check the tools' names against each other, and the time zone.

    Raises:
        InvalidInput: naming the field, if two tools have one name or the time zone is unknown.
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
    if config.time_zone is None:
        return
    try:
        ZoneInfo(config.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f"there is no time zone {config.time_zone!r}",
            field="time_zone",
            cure=suggestion(
                config.time_zone, available_timezones(), "use an IANA name like Europe/Vienna"
            ),
        ) from None


def check_avatar(config: AgentConfig) -> None:
    """Check that an enabled avatar names its provider and id; the agent worker has the key.

    Raises:
        InvalidInput: there is no such provider, or no avatar is named.
    """
    avatar = config.avatar
    if avatar is None or not avatar.enabled:
        return
    if avatar.provider is not None and avatar.provider not in AVATAR_PROVIDERS:
        raise InvalidInput(
            f"there is no avatar provider {avatar.provider!r:.100}",
            field="avatar.provider",
            cure=suggestion(avatar.provider, AVATAR_PROVIDERS),
        )
    if avatar.anam_avatar_id is None:
        raise InvalidInput(
            "no avatar is named",
            field="avatar.anam.avatarId",
            cure="name one of Anam's avatars, or set avatar.enabled to false",
        )


def prompt_warnings(config: AgentConfig) -> Iterator[ConfigWarning]:
    """A warning about a session without a prompt; a saved agent may get one at each start."""
    if not (config.prompt or "").strip():
        yield ConfigWarning(
            field="prompt",
            reason="there is no prompt; the agent is a general voice assistant",
            cure="say in prompt who the agent is and what it does",
        )


def warnings_of(config: AgentConfig, able: Capabilities) -> Iterator[ConfigWarning]:
    """Parts of a configuration that will have no effect, or another one than they seem to have."""
    yield from _beyond(config, able)
    base = config.knowledge_base
    if base and base.enabled and not (config.lyzr_rag or config.agentic_rag):
        yield ConfigWarning(
            field="knowledge_base",
            reason="the knowledge base is enabled and has no source to search in",
            cure="give knowledge_base.base_url and rag_id, or lyzr_rag, or agentic_rag",
        )
    if TRANSFER_TOOL in config.tools and config.transfer is None:
        yield ConfigWarning(
            field="transfer",
            reason="transfer_call is enabled and has nowhere to transfer to",
            cure="give transfer.destinations",
        )
    if config.background_audio is not None:
        for place, sound in config.background_audio.sounds():
            if sound.clip is not None and clip_name(sound.clip) is None:
                yield ConfigWarning(
                    field=f"background_audio.{place}",
                    reason=f"there is no clip {sound.clip[:100]!r}; the usual one is played",
                    cure=suggestion(sound.clip, CLIPS),
                )
    filtering = config.noise_cancellation
    if filtering is not None and noise_cancellation_type(filtering.type) is None:
        yield ConfigWarning(
            field="noise_cancellation.type",
            reason=f"there is no type {filtering.type!r:.99}; {LOCAL_NOISE_CANCELLATION!r} is used",
            cure=suggestion(filtering.type or "", NOISE_CANCELLATION),
        )
    # Each variable is named where it is first used.
    known = {*config.dynamic_variables, *config.dynamic_variable_defaults}
    for field, text in _texts(config):
        for name in sorted(variables_in(text) - known):
            known.add(name)
            yield ConfigWarning(
                field=field,
                reason=f"the variable {name!r} has no value and no default; it is left out",
                cure=f"give dynamic_variables.{name} or dynamic_variable_defaults.{name}",
            )


def _beyond(config: AgentConfig, able: Capabilities) -> Iterator[ConfigWarning]:
    """What this installation cannot do."""
    for field, url in _urls(config):
        try:
            able.check_url(url)
        except InvalidInput as refused:
            reason = f"the agent worker does not call this URL: {refused.message}"
            yield ConfigWarning(field=field, reason=reason, cure=refused.cure)
    plan = config.analysis
    if plan is not None and not able.analyses:
        for name in ("summary_prompt", "data_schema", "success_criteria"):
            if getattr(plan, name):
                yield ConfigWarning(
                    field=f"analysis.{name}",
                    reason="the extractive summariser cannot do this: it only chooses sentences",
                    cure="set SUMMARISER=openai, which uses a language model",
                )
    if config.recording is not None and config.recording.enabled and not able.recordings:
        yield ConfigWarning(
            field="recording",
            reason="the call is not recorded: there is no storage for recordings",
            cure="set EVERLINE_RECORDINGS_URL",
        )


def _urls(config: AgentConfig) -> Iterator[tuple[str, str]]:
    """The URLs that the agent worker calls during the call."""
    for number, tool in enumerate(config.http_tools):
        yield f"http_tools.{number}.url", tool.url
    for number, server in enumerate(config.mcp_servers):
        yield f"mcp_servers.{number}.url", server.url
    if config.lyzr_rag is not None:
        yield "lyzr_rag.base_url", config.lyzr_rag.base_url


def _texts(config: AgentConfig) -> Iterator[tuple[str, str]]:
    start, silence = config.conversation_start, config.silence
    limit, recovery = config.max_duration_warning, config.recovery
    texts: dict[str, str | None] = {
        "prompt": config.prompt,
        "conversation_start.greeting": start.greeting if start and start.who == "ai" else None,
        "silence.nudge_text": silence.nudge_text if silence else None,
        "silence.goodbye_text": silence.goodbye_text if silence else None,
        "max_duration_warning.text": limit.text if limit else None,
        "max_duration_warning.goodbye_text": limit.goodbye_text if limit else None,
        "recovery.text": recovery.text if recovery else None,
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
