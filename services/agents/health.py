"""Check what a call needs: LiveKit, Temporal with its workers, and agent servers."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from pydantic import BaseModel

from domain.agents.places import AgentLoad, Place, Waiting, load_of
from domain.agents.ports import AgentServers
from domain.agents.servers import MORE_PLACES, SILENT_AFTER, AgentServer, latest
from domain.clocks import CLOCK_CURE, Clock
from domain.errors import EverlineError
from domain.sessions.ports import Installation, Rooms, Sessions
from domain.sessions.webhook_receipts import WebhookReceipts
from services.agents.admission import Admission
from services.agents.clocks import API_CLOCK, RefusedClocks, clocks_that_differ
from services.sessions.installations import neighbours
from services.sessions.webhook_receipts import LiveKitWebhooks

REMEMBERED = timedelta(minutes=2)
"""How long silent servers are still listed, so that operators see what went away."""
WEBHOOK_LATENESS = timedelta(minutes=1)
"""How much older than an agent's join the last webhook may be."""
WEBHOOK_PATIENCE = timedelta(seconds=10)
"""How long the webhooks of a join may take."""
EXTERNAL_WITHIN = timedelta(hours=24)
"""How long an external agent's join shows that there is one; the time between two calls."""
MOST_ROOMS = 20
"""How many rooms without an installation are checked: one external room is enough."""
CHECK_SECONDS = 2.0
"""Time limit of each check, below the 3 s of container health checks, so that one server that hangs
does not hide the results of the others."""

MONGODB_CURE = "check MONGODB_URI, and that MongoDB runs"
LIVEKIT_CURE = "check LIVEKIT_URL, and that LiveKit runs"
WEBHOOK_CURE = (
    "in LiveKit's configuration, add this API's /v1/livekit/webhook to `webhook.urls`, and set"
    " `webhook.api_key` to LIVEKIT_API_KEY; LiveKit must be able to reach that URL"
)
SIGNATURE_CURE = (
    "set `webhook.api_key` in LiveKit's configuration to LIVEKIT_API_KEY, or the API's"
    " LIVEKIT_WEBHOOK_API_KEY and LIVEKIT_WEBHOOK_API_SECRET to the key that LiveKit signs with"
)
TEMPORAL_CURE = "check TEMPORAL_ADDRESS, and that Temporal runs"
DATABASE_CURE = "look at Temporal's log and at its database, and restart Temporal"

Answer = TypeVar("Answer")


class Check(BaseModel):
    """The state of one dependency."""

    ok: bool
    detail: str
    cure: str | None = None


class AgentHealth(BaseModel):
    """Everything between a start and an agent in the room."""

    status: Literal["ok", "degraded"]
    clocks: Check
    """Whether all clocks agree; first, because a wrong one makes other checks fail for no reason of
    their own. Never the reason for a 503."""
    agent_name: str
    livekit: Check
    temporal: Check
    agents: Check
    livekit_webhooks: Check
    """Whether LiveKit's webhooks arrive; without them calls work, but callers are noticed late."""
    installations: Check
    """Which other installations use this LiveKit; never the reason for a 503, as calls work."""
    load: AgentLoad | None = None
    """How full the agent servers are; null without MongoDB, or while it does not answer."""
    servers: list[AgentServer]
    servers_known: bool = True
    """False if the heartbeats could not be read; `servers` is empty then."""


@dataclass
class AgentHealthCheck:
    """Asks every server at the same time."""

    agent_servers: AgentServers
    rooms: Rooms
    sessions: Sessions
    livekit_webhooks: LiveKitWebhooks
    installation: Installation
    agent_name: str
    """The name that agents are dispatched by."""
    admission: Admission | None = None
    """None without MongoDB."""
    clocks: Mapping[str, Clock] = field(default_factory=dict[str, Clock])
    refused_clocks: RefusedClocks = field(default_factory=RefusedClocks)

    async def check(self, now: datetime) -> AgentHealth:
        """Ask all servers, for at most `CHECK_SECONDS`."""
        heard = self.agent_servers.seen_since(now - REMEMBERED)
        asked = asyncio.gather(
            _ask("MongoDB", heard, MONGODB_CURE, "heartbeats"),
            _ask("LiveKit", self.rooms.list_rooms(["everline-health-check"]), LIVEKIT_CURE),
            _ask("Temporal", self.sessions.probe(), DATABASE_CURE),
            _ask("Temporal", self.sessions.pollers(), TEMPORAL_CURE),
            _ask("MongoDB", self.livekit_webhooks.receipts(), MONGODB_CURE, "when webhooks came"),
            _ask("Temporal or LiveKit", self._installations(), LIVEKIT_CURE, "not known"),
        )
        measured, claims, answers = await asyncio.gather(
            self._measured(), _ask("MongoDB", self._claims(), MONGODB_CURE), asked
        )
        servers, livekit, database, pollers, receipts, installations = answers
        if not isinstance(livekit, Check):
            livekit = Check(ok=True, detail=f"{self.rooms.api_url} answers")
        known = not isinstance(servers, Check)
        external_at = None if isinstance(receipts, Check) else receipts.external_agent_at
        agents = agents_check(servers, self.agent_name, now, external_at) if known else servers
        temporal = temporal_check(database, pollers)
        if not isinstance(receipts, Check):
            receipts = webhooks_check(receipts, now)
        return AgentHealth(
            status="ok" if livekit.ok and temporal.ok and agents.ok else "degraded",
            clocks=self._clocks_check(measured, servers if known else []),
            agent_name=self.agent_name,
            livekit=livekit,
            temporal=temporal,
            agents=agents,
            livekit_webhooks=receipts,
            installations=installations,
            load=(
                load_of(servers, self.agent_name, *claims, now)
                if known and isinstance(claims, tuple)
                else None
            ),
            servers=servers if known else [],
            servers_known=known,
        )

    async def _claims(self) -> tuple[list[Place], list[Waiting]] | None:
        return await self.admission.claims(self.agent_name) if self.admission else None

    async def _measured(self) -> dict[str, float | None]:
        """Seconds by which each server's clock is ahead, None if that is not known."""
        ahead = await asyncio.gather(*map(_ahead, self.clocks.values()))
        return dict(zip(self.clocks, ahead, strict=True))

    def _clocks_check(
        self, measured: Mapping[str, float | None], servers: Sequence[AgentServer]
    ) -> Check:
        found = clocks_that_differ(measured, servers, self.refused_clocks.lately())
        if found:
            return Check(ok=False, detail="; ".join(found), cure=CLOCK_CURE)
        known = [name for name, seconds in measured.items() if seconds is not None]
        whose = " and ".join(known)
        detail = f"those of {whose} agree with {API_CLOCK}" if known else "not compared yet"
        return Check(ok=True, detail=detail)

    async def _installations(self) -> Check:
        own = await self.installation.id()
        seen = neighbours(await self.rooms.list_rooms(), own)
        some = list(seen.unnamed.items())[:MOST_ROOMS]
        # Those of our own sessions were opened before an upgrade.
        known = await asyncio.gather(*(self.sessions.exists(key) for _, key in some))
        strangers = [room for (room, _), ours in zip(some, known, strict=True) if not ours]
        return installations_check(own, seen.others, strangers)


async def _ahead(clock: Clock) -> float | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CHECK_SECONDS):
            return await clock.ahead()
    return None


async def _ask(
    server: str, question: Awaitable[Answer], cure: str, about: str | None = None
) -> Answer | Check:
    """What a server answers; a failed check if it does not, or not in time."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await question
    except TimeoutError:
        detail = f"{server} does not answer within {CHECK_SECONDS:g} s"
    except EverlineError as error:
        detail, cure = error.message, error.cure or cure
    return Check(ok=False, detail=f"{about}: {detail}" if about else detail, cure=cure)


def installations_check(own: str, others: Sequence[str], strangers: Sequence[str]) -> Check:
    """Whether the installations on one LiveKit can tell their rooms apart."""
    if strangers:
        return Check(
            ok=False,
            detail=f"this is {own!r}; rooms such as {strangers[0]!r} name no installation and are"
            " left alone. Whoever opened them runs an older Everline, which ends our calls",
            cure="upgrade the other Everline on this LiveKit, or give each a LiveKit of its own",
        )
    if others:
        names = ", ".join(map(repr, others))
        return Check(
            ok=True,
            detail=f"this is {own!r}; {names} share this LiveKit, which is fine: their ids differ",
        )
    return Check(ok=True, detail=f"this is {own!r}, alone on this LiveKit as far as rooms show")


def temporal_check(database: Check | None, pollers: Check | int) -> Check:
    """Whether Temporal's database works, and workers poll."""
    if isinstance(pollers, Check):
        return pollers
    if database:
        detail = f"Temporal's database cannot be read and written: {database.detail}"
        return Check(ok=False, detail=detail, cure=DATABASE_CURE)
    if not pollers:
        return Check(
            ok=False, detail="no worker polls the task queue", cure="start an Everline worker"
        )
    return Check(ok=True, detail=f"{pollers} pollers on the task queue")


def webhooks_check(receipts: WebhookReceipts, now: datetime) -> Check:
    """Whether LiveKit's webhooks arrive: none is missed before an agent has joined a call."""
    received, expected = receipts.received_at, receipts.expected_at
    if received and (expected is None or expected - received <= WEBHOOK_LATENESS):
        return Check(ok=True, detail=f"the last one came at {received:%Y-%m-%d %H:%M:%S} UTC")
    if expected is None:
        return Check(ok=True, detail="none has come yet, and no agent has joined a call yet")
    if now - expected <= WEBHOOK_PATIENCE:
        return Check(ok=True, detail="an agent has just joined a call, its webhooks may still come")
    since = f"since {received:%Y-%m-%d %H:%M:%S} UTC" if received else "ever"
    detail = f"no webhook of LiveKit's has come {since}, although agents have joined calls"
    if receipts.rejection and (received is None or (receipts.rejected_at or received) > received):
        detail = f"{detail}; the last one was refused: {receipts.rejection}"
        return Check(ok=False, detail=detail, cure=receipts.rejection_cure or SIGNATURE_CURE)
    return Check(ok=False, detail=detail, cure=WEBHOOK_CURE)


def agents_check(
    servers: list[AgentServer], agent_name: str, now: datetime, external_at: datetime | None = None
) -> Check:
    """Whether a dispatch to `agent_name` would find an agent.

    External agents send no heartbeats: `external_at` is when one last joined a call.
    """
    now = latest(servers, now)
    alive = [s for s in servers if now - s.last_heartbeat <= SILENT_AFTER and not s.draining]
    fitting = [server for server in alive if server.agent_name == agent_name]
    if fitting:
        free = sum(server.places for server in fitting)
        return Check(
            ok=free > 0,
            detail=f"{len(fitting)} agent servers named {agent_name!r}, room for {free} calls",
            cure=None if free else MORE_PLACES,
        )
    stopped = any(server.agent_name == agent_name for server in servers)
    if not stopped and external_at is not None and now - external_at <= EXTERNAL_WITHIN:
        at = f"{external_at:%Y-%m-%d %H:%M:%S} UTC"
        return Check(ok=True, detail=f"an agent without heartbeats joined a call at {at}")
    others = sorted({server.agent_name for server in alive})
    if others:
        return Check(
            ok=False,
            detail=f"agent name mismatch: calls are dispatched to {agent_name!r},"
            f" agent servers are registered as {', '.join(map(repr, others))}",
            cure="set AGENT_NAME to the same value for the API and the agent worker",
        )
    return Check(
        ok=False,
        detail=f"no agent server named {agent_name!r} has sent a heartbeat lately",
        cure="start an agent worker; an external one sends no heartbeats, but may work",
    )
