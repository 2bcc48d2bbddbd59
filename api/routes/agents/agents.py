"""Saved agents: create, read, update, delete, list versions and restore one."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import Field

from api.answers import CamelCaseAnswer, RequestBody
from api.dependencies import Client, Deps, agents_of
from api.problems import problems
from api.routes.agents.masked_config import MaskedConfig
from api.routes.agents.versions import ExpectedVersion, etag
from api.routing import Router
from domain.agents.config import AgentConfigWithName, ConfigWarning
from domain.agents.masking import masked
from domain.agents.saved_agent import CURSOR_PATTERN, SavedAgent
from domain.errors import Conflict, InvalidInput, PreconditionFailed
from domain.ids import ID_PATTERN
from services.agents.saved_agents import Saved

router = Router(prefix="/agents", tags=["agents"])

AgentId = Annotated[str, Path(pattern=ID_PATTERN)]
Version = Annotated[int, Path(ge=1, lt=2**31)]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[
    str | None,
    Query(
        description="`nextCursor` of the previous page",
        # Checked where the list is read, with an error that says what to send.
        json_schema_extra={"pattern": CURSOR_PATTERN},
    ),
]


class AgentBody(RequestBody):
    """Body of `POST /agents`."""

    config: AgentConfigWithName


class AgentChange(AgentBody):
    """Body of `PUT /agents/{agentId}`: the whole configuration, not a part of it."""

    version: int | None = Field(
        default=None, ge=1, lt=2**31, description="409 unless this is the current version"
    )


class AgentAnswer(CamelCaseAnswer):
    """A saved agent. Secrets in `config` are masked; a mask that is sent back keeps the secret."""

    agent_id: str
    version: int
    config: MaskedConfig
    created_at: datetime
    created_by: str | None
    updated_at: datetime
    updated_by: str | None
    restored_from: int | None = Field(description="the earlier version that this one restores")
    warnings: list[ConfigWarning] = []


class AgentList(CamelCaseAnswer):
    """A page of agents, newest first."""

    agents: list[AgentAnswer]
    next_cursor: str | None


class VersionAnswer(CamelCaseAnswer):
    """One version in a list, without its configuration."""

    version: int
    agent_name: str | None
    updated_at: datetime
    updated_by: str | None
    restored_from: int | None


class VersionList(CamelCaseAnswer):
    """A page of versions, the current one first."""

    versions: list[VersionAnswer]
    next_cursor: str | None


@router.get("")
async def list_agents(
    deps: Deps, client: Client, limit: Limit = 20, cursor: Cursor = None
) -> AgentList:
    """List the org's saved agents."""
    page = await agents_of(deps).page(client.org, limit, cursor)
    return AgentList(agents=[_answer(agent) for agent in page.items], next_cursor=page.next)


@router.post("", status_code=201)
async def create_agent(
    body: AgentBody, deps: Deps, client: Client, response: Response
) -> AgentAnswer:
    """Save a new agent; a configuration that could not start a session is refused."""
    saved = await agents_of(deps).create(client, body.config, datetime.now(UTC))
    response.headers["Location"] = f"/agents/{saved.agent.agent_id}"
    return _saved(saved, response)


@router.get("/{agentId}")
async def get_agent(
    agentId: AgentId, deps: Deps, client: Client, response: Response
) -> AgentAnswer:
    """Get the current version of an agent. Send its ETag as `If-Match` with a change."""
    agent = await agents_of(deps).get(client.org, agentId)
    response.headers["ETag"] = etag(agent.version)
    return _answer(agent)


@router.put("/{agentId}", responses=problems(409, 412))
async def update_agent(
    agentId: AgentId,
    body: AgentChange,
    deps: Deps,
    client: Client,
    response: Response,
    if_match: ExpectedVersion = None,
) -> AgentAnswer:
    """Save a new configuration as the next version; the previous version is kept.

    `If-Match` or `version` names the version to replace. If the agent was changed since then, the
    answer is 412 or 409. Without either, the current version is replaced.
    """
    if if_match is not None and body.version not in (None, if_match):
        raise InvalidInput(
            f"If-Match names version {if_match}, the body version {body.version}",
            field="version",
            cure="send one of them, or the same in both",
        )
    expected = body.version if if_match is None else if_match
    try:
        saved = await agents_of(deps).update(
            client, agentId, body.config, expected=expected, now=datetime.now(UTC)
        )
    except PreconditionFailed as error:
        if if_match is not None:
            raise
        # 412 is only for the header: a wrong version in the body is a conflict.
        raise Conflict(error.message, field=error.field, cure=error.cure) from None
    return _saved(saved, response)


@router.delete("/{agentId}", status_code=204, responses=problems(412))
async def delete_agent(
    agentId: AgentId, deps: Deps, client: Client, if_match: ExpectedVersion = None
) -> None:
    """Delete an agent and all its versions; its sessions and transcripts are kept."""
    await agents_of(deps).delete(client.org, agentId, expected=if_match, now=datetime.now(UTC))


@router.get("/{agentId}/versions")
async def list_versions(
    agentId: AgentId,
    deps: Deps,
    client: Client,
    limit: Limit = 20,
    cursor: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> VersionList:
    """List the versions of an agent, the current one first."""
    found, further = await agents_of(deps).versions(client.org, agentId, limit, cursor)
    return VersionList(
        versions=[VersionAnswer.of(one, agent_name=one.config.agent_name) for one in found],
        next_cursor=None if further is None else str(further),
    )


@router.get("/{agentId}/versions/{version}")
async def get_version(
    agentId: AgentId, version: Version, deps: Deps, client: Client
) -> AgentAnswer:
    """Get one version of an agent, with its configuration."""
    return _answer(await agents_of(deps).version(client.org, agentId, version))


@router.post("/{agentId}/versions/{version}/restore", responses=problems(409, 412))
async def restore_version(
    agentId: AgentId,
    version: Version,
    deps: Deps,
    client: Client,
    response: Response,
    if_match: ExpectedVersion = None,
) -> AgentAnswer:
    """Save an earlier version's configuration, with its secrets, as the next version."""
    saved = await agents_of(deps).roll_back(
        client, agentId, version, expected=if_match, now=datetime.now(UTC)
    )
    return _saved(saved, response)


def _saved(saved: Saved, response: Response) -> AgentAnswer:
    response.headers["ETag"] = etag(saved.agent.version)
    answer = _answer(saved.agent)
    answer.warnings = saved.warnings
    return answer


def _answer(agent: SavedAgent) -> AgentAnswer:
    return AgentAnswer.of(agent, config=masked(agent.config))
