"""Proxies between agent and API: what they answer is an outage, whatever it looks like."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from adapters.recordings import RecordingStore
from agent.call.claim import READY_SECONDS, retry_until
from agent.callbacks import CallbackClient, Unavailable
from agent.server.heartbeat import HeartbeatSender
from agent.spool import Drainer, Outbox, Uploads
from domain.recordings.recording import CallRecording, RecordingState
from domain.sessions.messages import AgentFailed, AgentReady
from tests.agent.samples import append, new_entry, report_record, target, turn, turn_record
from tests.agent.server.test_agent_server import SETTINGS
from tests.agent.server.test_heartbeat import Jobs, lost_job
from tests.fakes.callback_api import PROBLEM, CallbackApi, ProxyAnswer
from tests.waiting import eventually

JSON = "application/json"
RECORDING = CallRecording(attempt=1, path="local/s1/1.ogg", state=RecordingState.PENDING)

PROXIES = {
    "a restart behind Traefik": ProxyAnswer(404, "404 page not found\n", "text/plain"),
    "a firewall": ProxyAnswer(403),
    "a login": ProxyAnswer(401),
    "a login page": ProxyAnswer(200),
    "a page that is gone": ProxyAnswer(410),
    "a limit": ProxyAnswer(413),
    "a method that is not allowed": ProxyAnswer(405),
    "a proxy that does not understand": ProxyAnswer(400),
    "a conflict of somebody else": ProxyAnswer(409, '{"detail": "conflict"}', JSON),
    "a gateway's 404": ProxyAnswer(404, '{"message": "no Route matched"}', JSON),
    "another framework's 404": ProxyAnswer(404, '{"detail": "Not Found"}', JSON),
    "another framework's 422": ProxyAnswer(422, '{"detail": [{"loc": ["body"]}]}', JSON),
    "another framework's problem": ProxyAnswer(
        404, '{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no"}', PROBLEM
    ),
    "a problem with another status": ProxyAnswer(
        403, '{"title": "Gone", "status": 410, "code": "gone", "detail": "gone"}', PROBLEM
    ),
    "a problem that is cut off": ProxyAnswer(404, '{"title": "Gone", "sta', PROBLEM),
    "a redirect": ProxyAnswer(308, ""),
    "a success of something else": ProxyAnswer(200, '{"status": "ok"}', JSON),
    "an empty object": ProxyAnswer(200, "{}", JSON),
    "a list": ProxyAnswer(200, "[]", JSON),
    "null": ProxyAnswer(200, "null", JSON),
    "nothing": ProxyAnswer(200, "", JSON),
    "no content": ProxyAnswer(204, "", JSON),
    "a queue": ProxyAnswer(202, '{"queued": true}', JSON),
}

CALLS: dict[str, Callable[[CallbackClient], Awaitable[object]]] = {
    "ready": lambda api: api.ready(AgentReady(attempt=1, job_id="AJ_1", identity="agent-AJ_1")),
    "failed": lambda api: api.failed(AgentFailed(event_id="e", attempt=1, reason="no key")),
    "turns_so_far": lambda api: api.turns_so_far("s1"),
    "managed_agent": lambda api: api.managed_agent("ag-bills"),
    "remaining": lambda api: api.remaining(),
    "add_turns": lambda api: api.add_turns("s1", [turn(0).model_dump(mode="json")]),
    "report": lambda api: api.report({"attempt": 1}),
    "recording": lambda api: api.recording(RECORDING),
}

proxies = pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)


@pytest.fixture
async def api() -> AsyncGenerator[CallbackApi]:
    async with CallbackApi() as server:
        yield server


def left(spool: Path) -> list[str]:
    """What is in the spool."""
    return [path.name for path in spool.iterdir()]


@proxies
async def test_an_answer_of_a_proxy_is_an_outage(api: CallbackApi, proxy: ProxyAnswer) -> None:
    api.proxy = proxy
    async with CallbackClient(api.url, api.token) as client:
        for call in CALLS.values():
            with pytest.raises(Unavailable):
                await call(client)

    assert api.proxied == [proxy] * len(CALLS)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_the_apis_own_answer_counts(
    api: CallbackApi, call: Callable[[CallbackClient], Awaitable[object]]
) -> None:
    api.managed_agents["ag-bills"] = {}
    async with CallbackClient(api.url, api.token) as client:
        await call(client)

    assert [request.status for request in api.received] == [200]


async def test_a_claim_outlasts_a_proxy_that_answers_for_the_api(api: CallbackApi) -> None:
    api.proxy = PROXIES["a restart behind Traefik"]
    async with CallbackClient(api.url, api.token) as client:
        deadline = time.monotonic() + READY_SECONDS
        claiming = asyncio.create_task(
            retry_until(
                deadline,
                "ready",
                lambda: client.ready(AgentReady(attempt=1, job_id="AJ_1", identity="agent")),
            )
        )
        await api.wait_for(lambda: len(api.proxied) >= 3)
        api.proxy = None

        assert (await claiming).accepted


@proxies
async def test_what_a_proxy_answered_during_a_call_is_delivered_afterwards(
    api: CallbackApi, tmp_path: Path, proxy: ProxyAnswer
) -> None:
    api.proxy = proxy
    async with CallbackClient(api.url, api.token) as client:
        outbox = Outbox(new_entry(tmp_path, target(api)), client)
        for seq in range(3):
            outbox.put(turn_record(seq))
        await api.wait_for(lambda: bool(api.proxied))
        assert left(tmp_path) == [target(api).entry_name()]
        api.proxy = None
        outbox.put(report_record(end_reason="agent_ended"))
        assert await outbox.close(grace=30)

    assert [each["seq"] for each in api.turns.values()] == [0, 1, 2]
    assert [report["end_reason"] for report in api.reports] == ["agent_ended"]
    assert left(tmp_path) == []


@proxies
async def test_what_a_proxy_answered_after_a_call_is_left_to_the_drainer(
    api: CallbackApi, tmp_path: Path, proxy: ProxyAnswer
) -> None:
    api.proxy = proxy
    entry = new_entry(tmp_path, target(api))
    append(entry, turn_record(0))
    append(entry, report_record())
    entry.release()
    await Drainer(tmp_path).once()
    assert left(tmp_path) == [target(api).entry_name()]
    api.proxy = None
    await Drainer(tmp_path).once()

    assert len(api.turns) == len(api.reports) == 1
    assert left(tmp_path) == []


@proxies
async def test_a_recording_is_reported_again_after_a_proxy_has_answered(
    api: CallbackApi, tmp_path: Path, proxy: ProxyAnswer
) -> None:
    api.proxy = proxy
    spool = tmp_path / "spool"
    entry = new_entry(spool, target(api))
    entry.announce_recording(RECORDING)
    entry.sound.write_bytes(b"sound")
    entry.leave()
    store = RecordingStore((tmp_path / "kept").as_uri())
    await Uploads(spool, store).once()
    assert len(api.proxied) == 1
    api.proxy = None
    await Uploads(spool, store).once()

    assert [request.body["state"] for request in api.of("recording")] == ["stored"]


@proxies
async def test_a_loss_is_repeated_until_the_api_itself_has_taken_it(proxy: ProxyAnswer) -> None:
    jobs = Jobs(lost_job(1))
    async with CallbackApi(proxy=proxy) as api:
        heartbeat = HeartbeatSender(SETTINGS, api.url, jobs, lambda: False)
        assert not await heartbeat.beat()
        assert jobs.lost == [lost_job(1)]
        api.proxy = None
        await eventually(heartbeat.beat, 30)
        await heartbeat.aclose()

    assert jobs.lost == []
