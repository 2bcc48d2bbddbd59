"""The API in this process over real Temporal and MongoDB, with orgs that have keys of their own."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.service import RPCError

from activities.capacity import CapacityActivities
from activities.slots import SlotActivities
from adapters.auth.local_keys import LocalKeys, hash_of
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.mongo import MongoArchive
from adapters.mongo.client import Database, connect
from adapters.settings import WorkerSettings
from adapters.temporal import client as temporal_client
from adapters.temporal.encryption import EncryptionCodec
from adapters.temporal.listing import TemporalListing
from adapters.temporal.runs import TemporalDeliveryRuns, TemporalSummaryRuns
from adapters.temporal.sessions import TemporalSessions
from api.dependencies import ApiDependencies, Archive, CallerTokens, Records
from domain.access.api_keys import NewKeyRequest
from domain.agents.catalogs import BUILT_IN
from domain.ids import SessionKey, session_workflow_id
from services.access.org_quota import OrgQuota
from services.access.quotas import SessionQuota
from services.agents.saved_agents import Agents
from services.sessions.listing import SessionLists
from services.transcripts.listing import TranscriptLists
from services.transcripts.retention import Retention
from services.transcripts.transcripts import Transcripts
from services.webhooks.endpoints import Webhooks
from tests.api.door import PatientTransport, at_last
from tests.api.shared_app import app_with
from tests.fakes.archives import ScriptedAnalyst, ScriptedSummariser
from tests.fakes.installation import INSTALLATION, FixedInstallation
from tests.fakes.rooms import FakeRooms
from tests.servers import MongoServer, TemporalServer
from tests.workflows.studio import CALLBACK_SECRET, worker_settings
from worker.main import activities_of
from worker.webhooks import WebhookParts, sender_of
from worker.workers import serving_all

ROOT_KEY = "evl_the-root-key-of-the-house"
ROOT_ORG = "root"
PATIENT: dict[str, float] = {"join_timeout": 120, "report_grace": 0, "summary_wait": 0}
"""A session waits for an agent who never comes, until somebody ends it; then it closes at once."""


@dataclass
class House:
    """Everything that the routes stand on."""

    temporal: Client
    settings: WorkerSettings
    archive: MongoArchive
    database: Database
    rooms: FakeRooms
    listing: TemporalListing
    summariser: ScriptedSummariser
    analyst: ScriptedAnalyst
    services: ApiDependencies

    @asynccontextmanager
    async def open(self, **changed: Any) -> AsyncGenerator[FastAPI]:
        """The API, with some of its services changed."""
        yield app_with(replace(self.services, **changed))

    def quota(self, limit: int, *, mongodb: bool = True) -> OrgQuota:
        """A quota of open sessions, counted with or without MongoDB."""
        slots = self.archive.slots if mongodb else None
        return OrgQuota(SessionQuota(limit, slots, self.listing))

    async def key(self, org: str, **how: Any) -> str:
        """A new API key of an org."""
        return (await self.archive.api_keys.create(org, NewKeyRequest(**how))).key

    async def quiet(self) -> None:
        """Close what tests left open, so that nobody looks for its agents any longer."""
        queue = self.settings.temporal_task_queue
        query = f"TaskQueue = '{queue}' AND ExecutionStatus = 'Running'"
        with suppress(RPCError):  # a busy machine; what stays open only costs it some time
            async for execution in self.temporal.list_workflows(query):
                with suppress(RPCError):  # it has just closed by itself
                    await self.temporal.get_workflow_handle(execution.id).terminate()

    async def terminate(self, key: SessionKey) -> None:
        """Close a session's workflow from outside, at once."""
        await self.temporal.get_workflow_handle(session_workflow_id(key)).terminate()


class Tenant:
    """A client of the API with one key."""

    def __init__(self, app: FastAPI, key: str | None) -> None:
        headers = {"x-api-key": key} if key else {}
        self.http = httpx.AsyncClient(
            transport=PatientTransport(app), base_url="http://api.test", headers=headers, timeout=30
        )

    async def start(
        self, session_id: str, *, wait: str = "accepted", **further: Any
    ) -> httpx.Response:
        """Start a session that waits for its agent; whatever is answered."""
        body = {"session_id": session_id, "limits": PATIENT} | further
        path, stage = "/v1/sessions/start", {"wait": wait}
        # The same start again is the same session.
        late = None if wait == "accepted" else 202
        return await at_last(lambda: self.http.post(path, json=body, params=stage), late)

    async def state(self, session_id: str) -> str:
        """The state that the session tells."""
        answer = await self.http.get(f"/v1/sessions/{session_id}")
        answer.raise_for_status()
        return answer.json()["state"]

    async def end(self, session_id: str) -> None:
        """Ask for a session's end."""
        path = f"/v1/sessions/{session_id}/end"
        (await at_last(lambda: self.http.post(path))).raise_for_status()


def unique(name: str) -> str:
    """An id that no other test has."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def build_house(temporal: TemporalServer, mongo: MongoServer) -> AsyncGenerator[House]:
    """A house of its own task queue and database."""
    settings = worker_settings(temporal.address, unique("house")).model_copy(
        update={
            "everline_webhooks_allow_private": True,
            "everline_webhooks_retry_seconds": (0.2, 0.2, 600.0),
            "everline_webhooks_timeout_seconds": 10.0,
        }
    )
    client = await temporal_client.connect(settings)
    mongo_client = connect(mongo.uri)
    database = unique("test")
    archive = MongoArchive(mongo_client, database)
    await archive.ensure_indexes()
    rooms = FakeRooms()
    listing = TemporalListing(client)
    codec = EncryptionCodec(settings.everline_encryption_keys)
    sender = sender_of(settings)
    webhooks = WebhookParts.of(settings, archive, client, sender)
    summariser, analyst = ScriptedSummariser(), ScriptedAnalyst()
    sessions = TemporalSessions(client, settings.temporal_task_queue)
    services = ApiDependencies(
        sessions=sessions,
        rooms=rooms,
        installation=FixedInstallation(),
        keys=LocalKeys(hash_of(ROOT_KEY), ROOT_ORG, archive.api_keys),
        agent_servers=MemoryAgentServers(),
        archive=Archive(archive.sessions, Transcripts(archive.transcripts), archive.summaries),
        callers=CallerTokens("https://livekit.test", "APIhouse", "s" * 40, 900),
        agent_name="test-agent",
        livekit_keys={},
        webhook_keys={},
        callback_secret=CALLBACK_SECRET,
        agents=Agents(archive.saved_agents(codec), BUILT_IN),
        lists=SessionLists(listing, archive.sessions),
        records=Records(
            TranscriptLists(
                archive.transcript_lists, archive.transcript_stats, archive.saved_agents(codec)
            ),
            Retention(archive.transcript_lines, archive.retention_rules, archive.audit, None, 0),
            archive.audit,
        ),
        key_store=archive.api_keys,
        summary_runs=TemporalSummaryRuns(client, settings.temporal_task_queue),
        webhooks=Webhooks(
            archive.webhook_endpoints(codec),
            archive.webhook_deliveries,
            TemporalDeliveryRuns(client, settings.temporal_task_queue),
            sender,
        ),
    )
    capacity = CapacityActivities(archive.agent_servers, archive.places)
    activities = [
        *activities_of(
            *(settings, rooms, archive, summariser, webhooks, analyst),
            inputs=sessions,
            installation=INSTALLATION,
        ),
        SlotActivities(archive.slots).free_slot,
        capacity.count_free_places,
        capacity.release_place,
    ]
    async with AsyncExitStack() as stack:
        stack.callback(mongo_client.close)
        await stack.enter_async_context(sender)
        await stack.enter_async_context(serving_all(client, settings, activities))
        yield House(
            client,
            settings,
            archive,
            mongo_client[database],
            rooms,
            listing,
            summariser,
            analyst,
            services,
        )
        # Its database stays: to drop it takes seconds, and the server ends with the test run.
