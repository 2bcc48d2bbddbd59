"""Composition root of the API: `python -m api.main`."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from temporalio.client import Client

from adapters import logs
from adapters.auth.local_keys import LocalKeys
from adapters.auth.pagos import Pagos
from adapters.http.clocks import HttpClock, watched_clocks
from adapters.http.lookups import LookupLoop
from adapters.http.outbound import ForbiddenAddress, check_url
from adapters.http.webhook_sender import HttpWebhookSender
from adapters.livekit.rooms import LiveKitRooms
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.mongo.archive import MongoArchive
from adapters.mongo.client import MongoMisconfigured
from adapters.recordings import RecordingStore
from adapters.settings import (
    ApiSettings,
    LocalKeySettings,
    PagosSettings,
    SettingsError,
    load,
    log_derived_secrets,
)
from adapters.temporal import client as temporal_client
from adapters.temporal.encryption import EncryptionCodec
from adapters.temporal.installation import InstallationDiffers, TemporalInstallation
from adapters.temporal.listing import TemporalListing
from adapters.temporal.runs import TemporalDeliveryRuns, TemporalSummaryRuns
from adapters.temporal.sessions import TemporalSessions
from api.app import create_app
from api.cors import Origins
from api.dependencies import (
    LIVEKIT_CLOCK,
    TEMPORAL_CLOCK,
    ApiDependencies,
    Archive,
    CallerTokens,
    Records,
)
from api.limits.connections import BACKLOG, LimitedConnection, most_connections
from api.limits.unknown_keys import UnknownKeys
from api.routes.codec import codec_router
from domain.access.ports import ApiKeys
from domain.agents.catalogs import BUILT_IN, extended
from domain.errors import InvalidInput, Unavailable
from services.access.org_quota import JoinQuota, OrgQuota
from services.access.quotas import SessionQuota
from services.access.rate_limits import RequestRates
from services.agents.admission import Admission
from services.agents.capabilities import Capabilities
from services.agents.queue import QUEUE_LEASE_SECONDS, serving_queue
from services.agents.saved_agents import Agents
from services.sessions.listing import SessionLists
from services.sessions.watches import SessionWatches
from services.sessions.webhook_receipts import LiveKitWebhooks
from services.transcripts.listing import TranscriptLists
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts
from services.webhooks.endpoints import Webhooks

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_SECONDS = 15


@dataclass(frozen=True)
class Wiring:
    """The services, and what of the adapters below them is opened and closed with the process."""

    settings: ApiSettings
    services: ApiDependencies
    rooms: LiveKitRooms
    archive: MongoArchive | None
    pagos: Pagos | None

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[None]:
        """Everything is open for the block, and closed after it whatever happened there."""
        async with AsyncExitStack() as stack:
            if self.archive:
                stack.callback(self.archive.close)
                stack.callback(asyncio.create_task(self.archive.prepare()).cancel)
                if self.services.admission:
                    lease = self.archive.lease("agent queue", seconds=QUEUE_LEASE_SECONDS)
                    await stack.enter_async_context(serving_queue(self.services.admission, lease))
            if self.pagos:
                stack.push_async_callback(self.pagos.aclose)
            await stack.enter_async_context(self.rooms)
            await stack.enter_async_context(watched_clocks(self.services.clocks))
            stack.push_async_callback(self.services.presence_changes.aclose)
            log.info("api started", port=self.settings.port, livekit=self.rooms.api_url)
            yield


async def wire(settings: ApiSettings) -> Wiring:
    """Put the adapters behind the ports."""
    archive = MongoArchive.of(settings)
    rooms = LiveKitRooms.of(settings)
    client = await temporal_client.connect_lazily(settings)
    catalog = extended(BUILT_IN, settings.everline_extra_models)
    pagos = Pagos(load(PagosSettings)) if settings.auth_provider == "pagos" else None
    keys: ApiKeys = pagos or _local_keys(archive)
    sessions = TemporalSessions(client, settings.temporal_task_queue)
    listing = TemporalListing(client, sessions.clock)
    livekit_key = settings.livekit_api_key
    livekit_secret = settings.livekit_api_secret.get_secret_value()
    webhook_secret = settings.livekit_webhook_api_secret or settings.livekit_api_secret
    services = ApiDependencies(
        sessions=sessions,
        rooms=rooms,
        clocks={LIVEKIT_CLOCK: HttpClock(rooms.api_url), TEMPORAL_CLOCK: sessions.clock},
        installation=TemporalInstallation(client, settings.everline_installation),
        keys=keys,
        agent_servers=archive.agent_servers if archive else MemoryAgentServers(),
        livekit_webhooks=LiveKitWebhooks(archive.livekit_webhooks if archive else None),
        callers=CallerTokens(
            settings.callers_livekit_url,
            livekit_key,
            livekit_secret,
            settings.caller_token_seconds,
        ),
        agent_name=settings.dispatch_name,
        livekit_keys={livekit_key: livekit_secret},
        webhook_keys={
            settings.livekit_webhook_api_key or livekit_key: webhook_secret.get_secret_value()
        },
        callback_secret=settings.callback_secrets[0],
        older_callback_secrets=settings.callback_secrets[1:],
        catalog=catalog,
        able=Capabilities(
            check_url=tool_url_check(allow_private=settings.everline_allow_private_tool_urls),
            analyses=settings.summariser != "extractive",
            recordings=settings.everline_recordings_url is not None,
        ),
        lists=SessionLists(listing, archive.sessions if archive else None),
        key_store=archive.api_keys if archive and not pagos else None,
        keys_are_local=pagos is None,
        summary_runs=TemporalSummaryRuns(client, settings.temporal_task_queue),
        quota=_quota(settings, archive, listing),
        admission=(
            Admission(archive.agent_servers, archive.places, sessions, listing) if archive else None
        ),
        recordings=(
            RecordingStore(settings.everline_recordings_url)
            if settings.everline_recordings_url
            else None
        ),
        unsigned_reports=settings.everline_accept_unsigned_reports,
        rates=RequestRates(
            settings.everline_org_requests_per_second,
            settings.everline_org_request_burst,
            time.monotonic,
        ),
        unknown_keys=UnknownKeys(time.monotonic),
        watches=SessionWatches(settings.everline_event_streams_per_org),
    )
    if archive:
        services = _with_mongodb(services, settings, archive, client)
    return Wiring(settings, services, rooms, archive, pagos)


def _quota(
    settings: ApiSettings, archive: MongoArchive | None, listing: TemporalListing
) -> OrgQuota:
    sessions, joins = settings.everline_max_sessions_per_org, settings.everline_max_joins_per_org
    return OrgQuota(
        SessionQuota(sessions, archive.slots if archive else None, listing) if sessions else None,
        JoinQuota(joins, listing, time.monotonic) if joins else None,
        RequestRates(
            settings.everline_org_starts_per_second,
            settings.everline_org_start_burst,
            time.monotonic,
            "starts",
        ),
    )


async def serve(settings: ApiSettings) -> None:
    """Serve until SIGINT or SIGTERM."""
    wiring = await wire(settings)
    await _check_installation(wiring.services)
    app = create_app(
        wiring.services,
        wiring.lifespan,
        _codec(settings),
        origins=Origins(settings.everline_cors_origins, localhost=settings.development),
        development=settings.development,
    )
    LimitedConnection.most = most_connections()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=LimitedConnection,
        ws="none",
        backlog=BACKLOG,
        server_header=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    await uvicorn.Server(config).serve()


async def _check_installation(services: ApiDependencies) -> None:
    """Refuse a start under another installation's id; Temporal may also come later.

    Raises:
        InstallationDiffers: naming both ids.
    """
    try:
        await services.installation.id()
    except Unavailable as error:
        log.warning("the installation is not known yet", reason=error.message, cure=error.cure)


def _local_keys(archive: MongoArchive | None) -> LocalKeys:
    local = load(LocalKeySettings)
    stored = archive.api_keys if archive else None
    return LocalKeys(local.everline_bootstrap_key_hash, local.everline_bootstrap_org, stored)


def _with_mongodb(
    services: ApiDependencies, settings: ApiSettings, mongo: MongoArchive, client: Client
) -> ApiDependencies:
    codec = EncryptionCodec(settings.encryption_keys)
    agents = mongo.saved_agents(codec)
    return replace(
        services,
        archive=Archive(
            mongo.sessions, Transcripts(mongo.transcripts, settings.prices), mongo.summaries
        ),
        agents=Agents(agents, services.catalog, services.able),
        records=Records(
            TranscriptLists(mongo.transcript_lists, mongo.transcript_stats, agents),
            Retention(
                mongo.transcript_lines,
                mongo.retention_rules,
                mongo.audit,
                services.recordings,
                settings.everline_transcript_retention_days,
            ),
            mongo.audit,
        ),
        webhooks=Webhooks(
            mongo.webhook_endpoints(codec),
            mongo.webhook_deliveries,
            TemporalDeliveryRuns(client, settings.temporal_task_queue),
            # Only to check URLs: the worker sends.
            HttpWebhookSender(allow_private=settings.everline_webhooks_allow_private),
        ),
    )


def tool_url_check(*, allow_private: bool) -> Callable[[str], None]:
    """The check that the agent worker makes before it calls a URL of a configuration."""

    def check(url: str) -> None:
        try:
            check_url(url, allow_private=allow_private)
        except ForbiddenAddress as problem:
            cure = problem.cure_with("EVERLINE_ALLOW_PRIVATE_TOOL_URLS")
            raise InvalidInput(str(problem), cure=cure) from None

    return check


def _codec(settings: ApiSettings) -> list[APIRouter]:
    if settings.everline_codec_secret is None:
        return []
    codec = EncryptionCodec(settings.encryption_keys)
    secret = settings.everline_codec_secret.get_secret_value()
    return [codec_router(codec, secret, settings.temporal_ui_url)]


def main() -> None:
    """Read the settings and serve; exits with a message if the environment is not complete."""
    try:
        settings = load(ApiSettings)
        logs.configure(development=settings.development, level=settings.log_level)
        log_derived_secrets(settings)
        with asyncio.Runner(loop_factory=LookupLoop) as runner:
            runner.run(serve(settings))
    except SettingsError as error:
        sys.exit(f"everline api: {error}")
    except (MongoMisconfigured, InstallationDiffers) as error:
        sys.exit(f"everline api: {error.in_full()}")


if __name__ == "__main__":
    main()
