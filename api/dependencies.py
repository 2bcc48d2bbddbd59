"""What the routes need, wired once per process in `api/main.py`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from adapters.recordings import RecordingStore
from adapters.temporal.message_limits import FailureLimits
from api.auth import ORG_HEADER, authenticate
from api.known_names import require_known_query
from api.limits.unknown_keys import UnknownKeys
from api.routing import after
from domain.access.ports import ApiKeys, ApiKeyStore, AuditLog
from domain.access.principal import Principal
from domain.agents.catalogs import BUILT_IN, Catalog
from domain.agents.ports import AgentServers
from domain.clocks import Clock
from domain.errors import Forbidden, StorageUnavailable, Unauthenticated
from domain.ids import ID_PATTERN, SessionKey, check_id
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from domain.sessions.ports import Installation, Rooms, SessionArchive, Sessions
from domain.transcripts.ports import SummaryArchive, SummaryRuns
from services.access.org_quota import OrgQuota
from services.access.rate_limits import RequestRates
from services.agents.admission import Admission
from services.agents.availability import AgentAvailability
from services.agents.capabilities import EVERYTHING, Capabilities
from services.agents.clocks import RefusedClocks
from services.agents.losses import LostJobs
from services.agents.saved_agents import Agents
from services.sessions.control import SessionControl
from services.sessions.listing import SessionLists
from services.sessions.presence_changes import PresenceChanges
from services.sessions.starter import SessionStarter
from services.sessions.watches import SessionWatches
from services.sessions.webhook_receipts import LiveKitWebhooks
from services.transcripts.intake import ReportIntake
from services.transcripts.listing import TranscriptLists
from services.transcripts.reader import TranscriptReader
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts
from services.webhooks.endpoints import Webhooks

LIVEKIT_CLOCK, TEMPORAL_CLOCK = "LiveKit", "Temporal"
"""Keys of `ApiDependencies.clocks`, as people read them."""


@dataclass(frozen=True)
class Archive:
    """What the API reads and writes in MongoDB."""

    sessions: SessionArchive
    transcripts: Transcripts
    summaries: SummaryArchive


@dataclass(frozen=True)
class Records:
    """Records of finished calls: lists, retention and the audit log."""

    lists: TranscriptLists
    retention: Retention
    audit: AuditLog


@dataclass(frozen=True)
class CallerTokens:
    """Settings of the tokens that callers join with."""

    livekit_url: str
    """As clients use it: wss:// or ws://."""
    api_key: str
    api_secret: str
    seconds: int


@dataclass(frozen=True)
class ApiDependencies:
    """Everything that the routes use."""

    sessions: Sessions
    rooms: Rooms
    installation: Installation
    keys: ApiKeys
    agent_servers: AgentServers
    callers: CallerTokens
    agent_name: str
    livekit_keys: Mapping[str, str]
    """Secrets by key name that agent servers sign with."""
    webhook_keys: Mapping[str, str]
    """Secrets by key name that LiveKit signs its webhooks with."""
    callback_secret: str
    """Signs the agents' callback tokens."""
    older_callback_secrets: tuple[str, ...] = ()
    """Also accepted: agents of running calls may hold tokens that they signed."""
    archive: Archive | None = None
    """None without MongoDB, as are the agents, records and webhooks."""
    agents: Agents | None = None
    catalog: Catalog = BUILT_IN
    able: Capabilities = EVERYTHING
    lists: SessionLists | None = None
    records: Records | None = None
    key_store: ApiKeyStore | None = None
    """None without MongoDB, or if an account service manages the keys."""
    keys_are_local: bool = True
    summary_runs: SummaryRuns | None = None
    """None if summaries cannot be rerun."""
    webhooks: Webhooks | None = None
    quota: OrgQuota = field(default_factory=OrgQuota)
    admission: Admission | None = None
    """None without MongoDB."""
    recordings: RecordingStore | None = None
    """None if no recording storage is configured."""
    livekit_webhooks: LiveKitWebhooks = field(default_factory=LiveKitWebhooks)
    unsigned_reports: bool = False
    """Whether external agents may send reports without a callback token."""
    rates: RequestRates = field(default_factory=lambda: RequestRates(0, 1, time.monotonic))
    unknown_keys: UnknownKeys = field(default_factory=lambda: UnknownKeys(time.monotonic, 0))
    """Any number of them unless this is set."""
    watches: SessionWatches = field(default_factory=lambda: SessionWatches(0))
    failures: FailureLimits = field(default_factory=FailureLimits)
    clocks: Mapping[str, Clock] = field(default_factory=dict[str, Clock])
    """Of the servers that the API uses, by their names."""
    refused_clocks: RefusedClocks = field(default_factory=RefusedClocks)

    @cached_property
    def presence_changes(self) -> PresenceChanges:
        """Tell sessions who comes and leaves."""
        return PresenceChanges(self.sessions)

    @cached_property
    def lost_jobs(self) -> LostJobs:
        """Tell sessions of lost jobs."""
        return LostJobs(self.sessions.signal)

    @property
    def control(self) -> SessionControl:
        """Find, read, end and control sessions."""
        records = self.archive.sessions if self.archive else None
        return SessionControl(self.sessions, self.rooms, self.installation, records)

    @cached_property
    def availability(self) -> AgentAvailability:
        """Which agents there are."""
        return AgentAvailability(self.agent_servers, self.livekit_webhooks, self.agent_name)

    @property
    def starter(self) -> SessionStarter:
        """Start sessions."""
        return SessionStarter(
            self.sessions,
            self.rooms,
            self.installation,
            self.livekit_webhooks,
            self.quota,
            self.agents,
            self.catalog,
            agent_name=self.agent_name,
            archive=self.archive is not None,
            able=self.able,
            admission=self.admission,
            availability=self.availability,
            transcripts=self.records.retention.transcripts if self.records else None,
        )

    @property
    def reports(self) -> ReportIntake:
        """Take in agents' reports."""
        return ReportIntake(
            self.sessions,
            self.control,
            self.archive.transcripts if self.archive else None,
            self.records.retention if self.records else None,
        )


def dependencies(request: Request) -> ApiDependencies:
    """The dependencies of the running app."""
    return request.app.state.dependencies


Part = TypeVar("Part")
Deps = Annotated[ApiDependencies, Depends(dependencies)]


# `auto_error=False`: our own errors say what is missing.
_API_KEY = APIKeyHeader(
    name="x-api-key", scheme_name="ApiKey", auto_error=False, description="Your API key."
)
_CALLBACK_TOKEN = HTTPBearer(
    scheme_name="CallbackToken",
    auto_error=False,
    description="The callback token of an agent's dispatch metadata: one attempt of one session.",
)
_LIVEKIT_SIGNATURE = APIKeyHeader(
    name="Authorization",
    scheme_name="LiveKitSignature",
    auto_error=False,
    description="A JWT of LiveKit's key over the SHA-256 of the body.",
)

ApiKey = Annotated[str | None, Security(_API_KEY)]
LiveKitSignature = Annotated[str | None, Security(_LIVEKIT_SIGNATURE)]
OrgId = Annotated[
    str | None,
    Header(
        pattern=ID_PATTERN, description="The org to act for; only an admin may name another one."
    ),
]
SessionId = Annotated[
    str, Path(pattern=ID_PATTERN, description="The session's id, unique in its org.")
]
Limit = Annotated[int, Query(ge=1, le=200)]


def next_page(max_length: int, field: str = "next") -> Any:
    """A list's parameter `cursor`, which `field` of the previous page gives."""
    return Query(min_length=1, max_length=max_length, description=f"`{field}` of the previous page")


async def client_of(request: Request) -> Principal:
    """Who makes this request, and for which org; see `api.auth`. Asked once per request."""
    if not hasattr(request.state, "client"):
        deps, headers = dependencies(request), request.headers
        org = headers.get(ORG_HEADER)
        if org is not None:
            check_id(org, ORG_HEADER)
        request.state.client = await authenticate(
            request, deps.keys, deps.unknown_keys, deps.rates, headers.get("x-api-key"), org
        )
    return request.state.client


@after(client_of)
async def principal(
    request: Request, x_api_key: ApiKey = None, x_org_id: OrgId = None
) -> Principal:
    """As `client_of`; the parameters document the headers."""
    who = await client_of(request)
    require_known_query(request)
    return who


Client = Annotated[Principal, Depends(principal)]


def signed_body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads bytes, because the signature is over them."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


async def session_key(session_id: SessionId, client: Client) -> SessionKey:
    """The session that the path names, in the client's org."""
    return SessionKey(client.org, session_id)


Key = Annotated[SessionKey, Depends(session_key)]


CallbackToken = Annotated[HTTPAuthorizationCredentials | None, Security(_CALLBACK_TOKEN)]


async def claims_of(request: Request) -> CallbackClaims:
    """As `agent_claims`."""
    token = await _CALLBACK_TOKEN(request)
    return await agent_claims(request, dependencies(request), token)


@after(claims_of)
async def agent_claims(request: Request, deps: Deps, token: CallbackToken) -> CallbackClaims:
    """The claims of the agent's callback token.

    Raises:
        Unauthenticated: the token is missing or invalid.
        Forbidden: expired.
    """
    if token is None:
        raise Unauthenticated(
            "this route needs the callback token of the session",
            field="Authorization",
            cure="send `Bearer` and the callback_token of the dispatch metadata",
        )
    claims = callback_token.verify(
        deps.callback_secret, token.credentials, time.time(), deps.older_callback_secrets
    )
    request.state.org = claims.org
    request.state.session = claims.session_id
    return claims


AgentClaims = Annotated[CallbackClaims, Depends(agent_claims)]


@dataclass(frozen=True)
class SessionAccess:
    """A session that the request may access."""

    key: SessionKey
    attempt: int | None
    """The attempt of the requesting agent; None for a client."""


async def client_or_agent(request: Request) -> None:
    """Check that a client or an agent makes this request."""
    if _is_agent(request):
        await claims_of(request)
    else:
        await client_of(request)


def _is_agent(request: Request) -> bool:
    return "x-api-key" not in request.headers and "authorization" in request.headers


@after(client_or_agent)
async def session_access(
    session_id: SessionId,
    request: Request,
    deps: Deps,
    token: CallbackToken,
    x_api_key: ApiKey = None,
    x_org_id: OrgId = None,
) -> SessionAccess:
    """Access to one session's turns: by API key, or by the agent's callback token.

    Raises:
        Unauthenticated: neither, or a wrong one.
        Forbidden: a genuine callback token of another session.
    """
    if _is_agent(request):
        claims = await agent_claims(request, deps, token)
        if claims.session_id != session_id:
            raise Forbidden("the callback token is for another session", field="Authorization")
        return SessionAccess(claims.key, claims.attempt)
    who = await principal(request)
    return SessionAccess(SessionKey(who.org, session_id), None)


Access = Annotated[SessionAccess, Depends(session_access)]


def archive_of(deps: ApiDependencies) -> Archive:
    """The archive; `StorageUnavailable` without MongoDB, as of the others below."""
    return in_mongodb(deps.archive, "transcripts are")


def reader_of(deps: ApiDependencies) -> TranscriptReader:
    """The use cases that read transcripts."""
    archive = archive_of(deps)
    return TranscriptReader(
        deps.control,
        archive.sessions,
        archive.transcripts,
        archive.summaries,
        deps.agent_servers,
        deps.records.retention if deps.records else None,
    )


def records_of(deps: ApiDependencies) -> Records:
    """Lists of transcripts, retention and the audit log."""
    return in_mongodb(deps.records, "transcripts, their retention and the audit log are")


def agents_of(deps: ApiDependencies) -> Agents:
    """The saved agents."""
    cure = "set MONGODB_URI; without it, send the configuration with each session"
    return in_mongodb(deps.agents, "saved agents are", cure)


def webhooks_of(deps: ApiDependencies) -> Webhooks:
    """The org's webhooks."""
    return in_mongodb(deps.webhooks, "webhook endpoints are")


def in_mongodb(part: Part | None, which: str, cure: str = "set MONGODB_URI") -> Part:
    """A part that needs MongoDB; `StorageUnavailable` if MongoDB is not configured."""
    return configured(part, f"{which} kept in MongoDB, which is not configured", cure)


def configured(part: Part | None, message: str, cure: str) -> Part:
    """A part that must be configured; `StorageUnavailable` if it is not."""
    if part is None:
        raise StorageUnavailable(message, cure=cure, retry_after=60)
    return part
