"""Save, change and find agents; every save keeps the version before it."""

from dataclasses import dataclass
from datetime import datetime

from domain.access.principal import Principal
from domain.agents.catalogs import Catalog
from domain.agents.config import AgentConfig, ConfigWarning
from domain.agents.masking import with_stored_secrets
from domain.agents.ports import SavedAgents
from domain.agents.saved_agent import AgentKey, SavedAgent, check_cursor, new_agent_id
from domain.errors import Conflict, NotFound, PreconditionFailed
from domain.ids import check_id
from domain.paging import Page
from services.agents.capabilities import EVERYTHING, Capabilities
from services.agents.configuration import named_in, no_such_agent, resolve

MOST_TRIES = 5
"""How often a save is repeated because another one came first."""

READ_AGAIN = "read the agent again, and repeat the change on its current version"


@dataclass(frozen=True)
class Saved:
    """A saved agent, with the warnings about its configuration."""

    agent: SavedAgent
    warnings: list[ConfigWarning]


@dataclass
class Agents:
    """The saved agents of the caller's org."""

    store: SavedAgents
    catalog: Catalog
    able: Capabilities = EVERYTHING

    async def create(self, who: Principal, config: AgentConfig, now: datetime) -> Saved:
        """Save a new agent.

        Raises:
            InvalidInput: the configuration could not start a session; naming the field.
            StorageUnavailable: the agent may or may not have been saved.
        """
        at = _to_the_millisecond(now)
        agent_id = new_agent_id(at)
        with named_in("config"):
            complete, warnings = self._checked(with_stored_secrets(config, None), agent_id)
        agent = SavedAgent(
            org=who.org,
            agent_id=agent_id,
            version=1,
            config=complete,
            created_at=at,
            created_by=who.user_id,
            updated_at=at,
            updated_by=who.user_id,
        )
        await self.store.insert(agent)
        return Saved(agent, warnings)

    async def get(self, org: str, agent_id: str) -> SavedAgent:
        """The current version.

        Raises:
            NotFound: the org has no such agent.
        """
        found = await self.store.get(_key(org, agent_id))
        if found is None:
            raise no_such_agent(agent_id)
        return found

    async def page(self, org: str, limit: int, cursor: str | None) -> Page[SavedAgent]:
        """The org's agents, newest first.

        Raises:
            InvalidInput: the cursor is malformed.
        """
        found = await self.store.list_agents(org, limit + 1, check_cursor(cursor))
        return Page(found[:limit], found[limit - 1].agent_id if len(found) > limit else None)

    async def update(
        self,
        who: Principal,
        agent_id: str,
        config: AgentConfig,
        *,
        expected: int | None,
        now: datetime,
    ) -> Saved:
        """Save a whole new configuration as the next version; masked secrets keep stored values.

        `expected` is the version to replace; None replaces whichever is current.

        Raises:
            NotFound: the org has no such agent.
            PreconditionFailed: `expected` is not the current version.
            InvalidInput: the configuration could not start a session; naming the field.
        """
        for _ in range(MOST_TRIES):
            current = await self._current(who.org, agent_id, expected)
            with named_in("config"):
                given = with_stored_secrets(config, current.config)
                complete, warnings = self._checked(given, agent_id)
            following = _next(current, complete, who, now)
            if await self.store.replace(following, current.version):
                return Saved(following, warnings)
        raise _too_busy(agent_id)

    async def roll_back(
        self, who: Principal, agent_id: str, version: int, *, expected: int | None, now: datetime
    ) -> Saved:
        """Save an earlier version's configuration as the next version.

        Raises:
            NotFound: the org has no such agent or version.
            PreconditionFailed: `expected` is not the current version.
            InvalidInput: it could no longer start a session; naming the field.
        """
        for _ in range(MOST_TRIES):
            current = await self._current(who.org, agent_id, expected)
            earlier = await self.version(who.org, agent_id, version)
            complete, warnings = self._checked(earlier.config, agent_id)
            following = _next(current, complete, who, now, restored_from=version)
            if await self.store.replace(following, current.version):
                return Saved(following, warnings)
        raise _too_busy(agent_id)

    async def delete(self, org: str, agent_id: str, *, expected: int | None, now: datetime) -> None:
        """Delete an agent with all its versions; its sessions and transcripts stay.

        Raises:
            NotFound: the org has no such agent.
            PreconditionFailed: `expected` is not the current version.
        """
        if not await self.store.delete(_key(org, agent_id), expected, now):
            await self._current(org, agent_id, expected)
            raise _too_busy(agent_id)

    async def version(self, org: str, agent_id: str, version: int) -> SavedAgent:
        """One version, current or earlier.

        Raises:
            NotFound: the org has no such agent or version.
        """
        await self._current(org, agent_id, None)
        found = await self.store.get_version(_key(org, agent_id), version)
        if found is None:
            raise NotFound(f"agent {agent_id} has no version {version}", field="version")
        return found

    async def versions(
        self, org: str, agent_id: str, limit: int, before: int | None
    ) -> tuple[list[SavedAgent], int | None]:
        """The versions, current one first, and the `before` of the next page.

        Raises:
            NotFound: the org has no such agent.
        """
        await self._current(org, agent_id, None)
        found = await self.store.list_versions(_key(org, agent_id), limit + 1, before)
        return found[:limit], found[limit - 1].version if len(found) > limit else None

    async def _current(self, org: str, agent_id: str, expected: int | None) -> SavedAgent:
        current = await self.store.to_be_replaced(_key(org, agent_id))
        if current is None:
            raise no_such_agent(agent_id)
        if expected is not None and current.version != expected:
            raise PreconditionFailed(
                f"agent {agent_id} is at version {current.version}, not {expected}",
                field="version",
                cure=READ_AGAIN,
            )
        return current

    def _checked(
        self, config: AgentConfig, agent_id: str
    ) -> tuple[AgentConfig, list[ConfigWarning]]:
        """Save what was sent, but check that it can start a session."""
        warnings = resolve(None, config, self.catalog, self.able).warnings
        if config.agent_id not in (None, agent_id):
            warnings.append(
                ConfigWarning(
                    field="agent_id",
                    reason="a saved agent has its own id; the given one was left out",
                )
            )
        return config.model_copy(update={"agent_id": agent_id}), warnings


def _key(org: str, agent_id: str) -> AgentKey:
    return AgentKey(org, check_id(agent_id, "agentId"))


def _next(
    current: SavedAgent,
    config: AgentConfig,
    who: Principal,
    now: datetime,
    restored_from: int | None = None,
) -> SavedAgent:
    return current.model_copy(
        update={
            "version": current.version + 1,
            "config": config,
            "updated_at": max(_to_the_millisecond(now), current.updated_at),
            "updated_by": who.user_id,
            "restored_from": restored_from,
        }
    )


def _to_the_millisecond(moment: datetime) -> datetime:
    """MongoDB's precision, so that a save returns what later reads will."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _too_busy(agent_id: str) -> Conflict:
    return Conflict(
        f"agent {agent_id} is being changed by somebody else",
        cure=READ_AGAIN,
    )
