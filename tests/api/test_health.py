"""`/health` and `/health/agent`: what is missing between a start and an agent in the room."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
from pydantic import SecretStr
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from typing_extensions import override

from adapters.livekit.rooms import LiveKitRooms
from adapters.memory_agent_servers import MemoryAgentServers
from adapters.mongo import MongoArchive
from adapters.temporal.client import connect_lazily
from adapters.temporal.listing import TemporalListing
from adapters.temporal.sessions import TemporalSessions
from domain.agents.servers import AgentServer, Heartbeat
from domain.ids import SessionKey
from domain.sessions.control import ATTEMPT_ATTRIBUTE
from domain.sessions.rooms import room_metadata
from domain.sessions.webhook_receipts import WebhookReceipts
from services.agents.admission import Admission
from services.agents.health import agents_check, webhooks_check
from services.sessions.webhook_receipts import LiveKitWebhooks
from tests.api.door import Door, open_door, services
from tests.fakes.agents import Plays
from tests.fakes.installation import INSTALLATION
from tests.fakes.places import MemoryPlaces
from tests.fakes.silent import Silent
from tests.servers import start_temporal
from tests.waiting import eventually

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _server(name: str, *, jobs: int = 0, most: int = 2, age: float = 0, draining: bool = False):
    return AgentServer.model_validate(
        {
            "server_id": f"{name}-{age}-{draining}",
            "agent_name": name,
            "max_jobs": most,
            "draining": draining,
            "jobs": [{"job_id": f"j{n}"} for n in range(jobs)],
            "last_heartbeat": NOW - timedelta(seconds=age),
        }
    )


async def test_the_process_is_up(keyless: Door) -> None:
    answer = await keyless.http.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert (await keyless.http.head("/health")).status_code == 200


async def test_everything_is_there(door: Door) -> None:
    async with open_door(door.studio, services(door.studio), key=None) as fresh:
        nobody = await fresh.http.get("/health/agent")
        job = {"job_id": "AJ_1", "org": "acme", "session_id": "private", "attempt": 1}
        beat = {"server_id": "s1", "agent_name": "test-agent", "max_jobs": 4, "jobs": [job]}
        answers: list[httpx.Response] = []

        async def is_well() -> bool:
            # A worker that has just been started is known to Temporal with its first poll.
            await fresh.heartbeat(beat)
            answers.append(await fresh.http.get("/health/agent"))
            return answers[-1].status_code == 200

        await eventually(is_well, 60, "a healthy answer")
        ready = answers[-1]

    assert nobody.status_code == 503
    assert nobody.json()["status"] == "degraded"
    assert ready.status_code == 200
    assert ready.json()["livekit"]["ok"]
    assert ready.json()["temporal"]["ok"]
    assert (
        ready.json()["agents"]["detail"] == "1 agent servers named 'test-agent', room for 3 calls"
    )
    assert "private" not in ready.text, "this route needs no key"


async def test_livekit_is_away(door: Door) -> None:
    async def temporal_alone_is_well() -> bool:
        door.studio.rooms.away.add("everline-health-check")
        answer = await door.http.get("/health/agent")
        door.studio.rooms.away.discard("everline-health-check")
        assert answer.status_code == 503
        assert answer.json()["livekit"]["ok"] is False
        assert "LIVEKIT_URL" in answer.json()["livekit"]["cure"]
        return answer.json()["temporal"]["ok"]

    await eventually(temporal_alone_is_well, 60)


async def test_servers_that_hang_are_asked_at_once_and_each_is_named(door: Door) -> None:
    silent = Silent()
    async with (
        silent.server("livekit") as livekit,
        silent.server("temporal") as temporal,
        silent.server("mongodb") as mongodb,
    ):
        settings = door.studio.settings.model_copy(
            update={
                "livekit_url": f"ws://127.0.0.1:{livekit}",
                "livekit_api_secret": SecretStr("s" * 40),
                "temporal_address": f"127.0.0.1:{temporal}",
                "mongodb_uri": SecretStr(f"mongodb://127.0.0.1:{mongodb}"),
            }
        )
        archive = MongoArchive.of(settings)
        assert archive is not None
        async with LiveKitRooms.of(settings) as rooms:
            deps = replace(
                door.deps,
                rooms=rooms,
                sessions=TemporalSessions(await connect_lazily(settings), "any"),
                agent_servers=archive.agent_servers,
            )
            async with open_door(door.studio, deps, key=None, patient=False) as poor:
                answer = await poor.http.get("/health/agent")
        archive.close()

    assert answer.status_code == 503
    assert silent.together == {"livekit", "temporal", "mongodb"}
    told = answer.json()
    assert told["livekit"]["detail"] == "LiveKit does not answer within 2 s"
    assert told["agents"]["detail"] == "heartbeats: MongoDB does not answer within 2 s"
    assert told["servers_known"] is False
    assert "Temporal does not answer" in told["temporal"]["detail"]
    assert all(told[part]["cure"] for part in ("livekit", "temporal", "agents"))


async def test_a_temporal_that_answers_and_cannot_write_is_not_well(door: Door) -> None:
    async with start_temporal() as server:
        settings = door.studio.settings.model_copy(update={"temporal_address": server.address})
        client = await connect_lazily(settings)
        deps = replace(door.deps, sessions=TemporalSessions(client, "polled"))
        database = server.process.log.with_name("temporal.db")
        async with open_door(door.studio, deps, key=None, patient=False) as poor:

            async def temporal() -> dict[str, object]:
                return (await poor.http.get("/health/agent")).json()["temporal"]

            async def is_well() -> bool:
                return bool((await temporal())["ok"])

            async def is_stuck() -> bool:
                return "database cannot be read and written" in str((await temporal())["detail"])

            worker = Worker(
                await Client.connect(server.address),
                task_queue="polled",
                workflows=[Unused],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            async with worker:
                await eventually(is_well, 60)
                blocker = sqlite3.connect(database, isolation_level=None)
                blocker.execute("BEGIN IMMEDIATE")
                # What was seen just before is told for some seconds.
                await eventually(is_stuck, 60)
                stuck = await temporal()
                blocker.close()
                await eventually(is_well, 60)

    assert stuck["ok"] is False
    assert "restart Temporal" in str(stuck["cure"])


@workflow.defn
class Unused:
    """A worker needs one."""

    @workflow.run
    async def run(self) -> None:
        """Nobody starts it."""


class CountedServers(MemoryAgentServers):
    """Counts how often somebody reads the heartbeats."""

    reads = 0

    @override
    async def seen_since(self, since: datetime) -> list[AgentServer]:
        self.reads += 1
        return await super().seen_since(since)


async def test_one_check_reads_the_heartbeats_once(door: Door) -> None:
    servers, places = CountedServers(), MemoryPlaces()
    listing = TemporalListing(door.studio.client)
    deps = replace(services(door.studio), agent_servers=servers)
    admission = Admission(servers, places, deps.sessions, listing)
    beat = Heartbeat(server_id="s1", agent_name=deps.agent_name, max_jobs=4)
    await servers.record(beat, datetime.now(UTC) + timedelta(seconds=60))
    await places.claim(SessionKey("acme", "one"), deps.agent_name, 4)
    async with open_door(door.studio, replace(deps, admission=admission), key=None) as fresh:
        before = servers.reads
        answer = (await fresh.http.get("/health/agent")).json()

    assert servers.reads - before == 1
    assert (answer["load"]["size"], answer["load"]["reserved"]) == (4, 1)


def test_another_agent_name_is_a_mismatch() -> None:
    check = agents_check([_server("agent")], "local-test", NOW)

    assert not check.ok
    assert "agent name mismatch: calls are dispatched to 'local-test'" in check.detail
    assert "'agent'" in check.detail
    assert "AGENT_NAME" in str(check.cure)


def test_full_draining_and_silent_servers_take_no_call() -> None:
    name = "local-test"
    full = agents_check([_server(name, jobs=2)], name, NOW)
    draining = agents_check([_server(name, draining=True)], name, NOW)
    silent = agents_check([_server(name, age=11)], name, NOW)
    one_is_free = agents_check([_server(name, jobs=2), _server(name, jobs=1, age=1)], name, NOW)

    accepted = _server(name, jobs=1).model_copy(update={"free": 0})
    about_to_be_full = agents_check([accepted], name, NOW)

    assert [full.ok, draining.ok, silent.ok, one_is_free.ok] == [False, False, False, True]
    assert not about_to_be_full.ok, "a call that is accepted has a place before it has a process"
    assert "EVERLINE_MAX_JOBS" in str(full.cure)
    assert "no agent server named 'local-test'" in silent.detail


def test_agents_that_send_no_heartbeats_are_known_by_their_calls() -> None:
    name = "local-test"
    lately, long_ago = NOW - timedelta(hours=3), NOW - timedelta(hours=25)

    assert agents_check([], name, NOW, lately).ok
    assert "joined a call at 2026-03-01 09:00:00 UTC" in agents_check([], name, NOW, lately).detail
    assert agents_check([_server("another")], name, NOW, lately).ok
    assert not agents_check([], name, NOW, long_ago).ok
    assert not agents_check([], name, NOW).ok
    silent = agents_check([_server(name, age=11)], name, NOW, lately)
    assert not silent.ok, "Everline's own agent server has just stopped"


async def test_with_plain_agents_alone_all_is_well(door: Door) -> None:
    call = await door.live(Plays(report_when_told=False, report_when_removed=False), report_grace=1)
    owner = room_metadata(call.key, INSTALLATION)
    agent = {"identity": "agent-AJ_1", "sid": "PA_9", "kind": "AGENT"}
    event = {
        "event": "participant_joined",
        "id": "EV_plain",
        "room": {"name": call.room, "sid": "RM_1", "metadata": owner},
    }
    deps = replace(door.deps, livekit_webhooks=LiveKitWebhooks())
    async with open_door(door.studio, deps, key=None) as fresh:
        before = (await fresh.http.get("/health/agent")).json()["agents"]
        ours = agent | {"attributes": {ATTEMPT_ATTRIBUTE: "1"}}
        await fresh.webhook(event | {"participant": ours})
        own = (await fresh.http.get("/health/agent")).json()["agents"]
        await fresh.webhook(event | {"participant": agent})
        after = (await fresh.http.get("/health/agent")).json()["agents"]

    assert [before["ok"], own["ok"], after["ok"]] == [False, False, True]
    await call.end()
    await call.closed()


def _webhooks(**seconds_ago: float):
    times = {name: NOW - timedelta(seconds=ago) for name, ago in seconds_ago.items()}
    return WebhookReceipts.model_validate(times)


def test_webhooks_that_come_are_well_and_none_is_missed_before_a_call() -> None:
    none_yet = webhooks_check(_webhooks(), NOW)
    came = webhooks_check(_webhooks(received_at=3600, expected_at=3601), NOW)
    just_joined = webhooks_check(_webhooks(expected_at=2), NOW)

    assert [none_yet.ok, came.ok, just_joined.ok] == [True, True, True]
    assert "no agent has joined a call yet" in none_yet.detail


def test_webhooks_that_never_came_are_named_with_the_cure() -> None:
    never = webhooks_check(_webhooks(expected_at=30), NOW)
    no_longer = webhooks_check(_webhooks(expected_at=30, received_at=3600), NOW)

    assert [never.ok, no_longer.ok] == [False, False]
    assert "no webhook of LiveKit's has come ever" in never.detail
    assert "since 2026-03-01 11:00:00 UTC" in no_longer.detail
    assert "webhook.urls" in str(never.cure)
    assert "webhook.api_key" in str(never.cure)


def test_webhooks_that_are_refused_are_named_with_the_reason() -> None:
    refused = _webhooks(expected_at=30, rejected_at=20)
    refused.rejection = "the request is signed with a key that is not known"
    late = refused.model_copy(update={"rejection_cure": "check the clocks of both machines"})
    forged = refused.model_copy(update={"received_at": NOW})

    assert "refused: the request is signed with a key" in webhooks_check(refused, NOW).detail
    assert "LIVEKIT_WEBHOOK_API_KEY" in str(webhooks_check(refused, NOW).cure)
    assert webhooks_check(late, NOW).cure == "check the clocks of both machines"
    assert webhooks_check(forged, NOW).ok, "a stranger's request is no alarm"


async def test_webhooks_are_noted_as_they_come(door: Door) -> None:
    async def shown(fresh: Door) -> tuple[bool, str]:
        told = (await fresh.http.get("/health/agent")).json()["livekit_webhooks"]
        return told["ok"], told["detail"]

    deps = services(door.studio)
    async with open_door(door.studio, deps, key=None, patient=False) as fresh:
        before = await shown(fresh)
        refused = await fresh.webhook({"event": "room_started", "id": "e1"}, secret="x" * 40)
        deps.livekit_webhooks.expected(datetime.now(UTC) - timedelta(seconds=30))
        without = await shown(fresh)
        taken = await fresh.webhook({"event": "room_started", "id": "e2"})
        after = await shown(fresh)

    assert (refused["status"], taken["status"]) == (401, 200)
    assert [before[0], without[0], after[0]] == [True, False, True]
    assert "refused: the signature is not valid" in without[1]
