"""Webhooks by the API: endpoints, secrets, the log, and the events of real sessions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import WebhookVerificationError
from temporalio.client import WorkflowExecutionStatus

from adapters.http.webhook_sender import HttpWebhookSender
from adapters.mongo.webhooks.webhooks import ENDPOINTS
from adapters.temporal.encryption import EncryptionCodec
from adapters.temporal.runs import TemporalDeliveryRuns
from domain.ids import SessionKey, webhook_workflow_id
from domain.webhooks.events import EventType, event_id
from services.webhooks.endpoints import Webhooks
from tests.api.door import is_problem
from tests.api.house import ROOT_KEY, ROOT_ORG, House, Tenant, build_house, unique
from tests.api.played_call import QUICK, agents_in, say
from tests.fakes.agents import NEVER_COMES, Plays
from tests.fakes.webhook_receiver import Received, Receiver, webhook_receiver
from tests.replaying import replay
from tests.servers import TemporalServer, start_mongo
from tests.waiting import eventually
from workflows.webhook import WebhookWorkflow

JSON = dict[str, Any]
SPOKEN = "the-words-that-no-webhook-may-hold"


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@dataclass
class Customer:
    """An org with a key, and what it does with its webhooks."""

    house: House
    tenant: Tenant
    org: str

    @property
    def http(self) -> httpx.AsyncClient:
        return self.tenant.http

    async def endpoint(self, url: str, **further: Any) -> JSON:
        answer = await self.http.post("/v1/webhooks", json={"url": url, **further})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def deliveries(self, **wanted: Any) -> list[JSON]:
        answer = await self.http.get("/v1/webhooks/deliveries", params=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()["deliveries"]

    async def until(self, delivery_id: str, status: str, attempts: int) -> JSON:
        """Wait until a delivery is there, after at least so many attempts."""
        found: list[JSON] = []

        async def there() -> bool:
            answer = await self.http.get(f"/v1/webhooks/deliveries/{delivery_id}")
            found.append(answer.json())
            return found[-1]["status"] == status and found[-1]["attempt_count"] >= attempts

        await eventually(there, 60, f"{delivery_id} {status} after {attempts}")
        return found[-1]

    async def ping(self, endpoint: JSON) -> JSON:
        answer = await self.http.post(f"/v1/webhooks/{endpoint['webhook_id']}/test")
        assert answer.status_code == 202, answer.text
        return answer.json()


@asynccontextmanager
async def customer_of(house: House, key: str | None = None) -> AsyncGenerator[Customer]:
    org = ROOT_ORG if key else unique("customer")
    async with house.open() as app:
        yield Customer(house, Tenant(app, key or await house.key(org)), org)


@pytest.fixture
async def customer(house: House) -> AsyncGenerator[Customer]:
    async with customer_of(house) as customer:
        yield customer


# ── the events of a session ──────────────────────────────────────────────────────────────────────


async def until_told(
    receiver: Receiver, path: str, count: int, within: float = 60
) -> list[Received]:
    await eventually(lambda: len(receiver.at(path)) >= count, within, f"{count} events at {path}")
    return receiver.at(path)


async def test_a_call_tells_its_story(customer: Customer, receiver: Receiver) -> None:
    endpoint = await customer.endpoint(f"{receiver.url}/all")
    chosen = await customer.endpoint(f"{receiver.url}/ends", events=["session.ended"])
    key = SessionKey(customer.org, unique("call"))
    async with agents_in(customer.house, key, Plays()):
        started = await customer.tenant.start(key.session_id, wait="joined", limits=QUICK)
        assert started.status_code == 200, started.text
        await say(customer.house, key, SPOKEN)
        await until_told(receiver, "/all", 2)
        await customer.tenant.end(key.session_id)
        came = await until_told(receiver, "/all", 5)
    [end] = await until_told(receiver, "/ends", 1)

    told = {request.event_id: request.verified(endpoint["secret"]) for request in came}
    in_order = sorted(told.values(), key=lambda event: datetime.fromisoformat(event["timestamp"]))
    assert [event["type"] for event in in_order] == [
        "session.started",
        "session.agent_joined",
        "transcript.ready",
        "summary.ready",
        "session.ended",
    ]
    assert set(told) == {event_id(key, EventType(event["type"])) for event in in_order}
    assert all(event["data"]["session_id"] == key.session_id for event in in_order)
    first, joined, transcript, summary, ended = (event["data"] for event in in_order)
    assert first["room_name"] == joined["room_name"] == f"{key.org}.{key.session_id}"
    assert (first["state"], joined["state"]) == ("starting", "live")
    assert joined["join_seconds"] is not None
    assert (transcript["turn_count"], transcript["complete"]) == (1, False)
    assert summary["status"] == "ready"
    assert (ended["outcome"], ended["end_reason"]) == ("completed", "end_requested")
    assert SPOKEN.encode() not in b"".join(request.body for request in came)
    # The same event to two endpoints: one id, signed by each one's own secret.
    assert end.event_id == event_id(key, EventType.SESSION_ENDED)
    assert end.verified(chosen["secret"]) == told[end.event_id]
    with pytest.raises(WebhookVerificationError):
        end.verified(endpoint["secret"])

    async def all_delivered() -> bool:
        found = await customer.deliveries(status="delivered")
        return len(found) == 6

    await eventually(all_delivered, 60, "six deliveries")
    assert len(receiver.requests) == 6, "each was told once"


async def test_a_session_without_an_agent_is_told_as_failed(
    customer: Customer, receiver: Receiver
) -> None:
    await customer.endpoint(
        f"{receiver.url}/all",
        events=["session.started", "session.agent_joined", "session.ended", "session.failed"],
    )
    key = SessionKey(customer.org, unique("call"))
    async with agents_in(customer.house, key, NEVER_COMES):
        await customer.tenant.start(key.session_id, limits=QUICK | {"join_timeout": 0.5})
        came = await until_told(receiver, "/all", 3)
    told = [request.event_id for request in came]
    assert sorted(told) == sorted(
        event_id(key, kind)
        for kind in (
            EventType.SESSION_STARTED,
            EventType.SESSION_ENDED,
            EventType.SESSION_FAILED,
        )
    )


@pytest.mark.timeout(400)
async def test_events_wait_for_mongodb_and_the_call_does_not(
    temporal_server: TemporalServer, receiver: Receiver
) -> None:
    async with (
        start_mongo() as mongo,
        build_house(temporal_server, mongo) as house,
        customer_of(house, ROOT_KEY) as customer,
    ):
        await customer.endpoint(f"{receiver.url}/all")
        key = SessionKey(customer.org, unique("call"))
        mongo.process.kill()
        async with agents_in(house, key, Plays()):
            started = await customer.tenant.start(key.session_id, wait="joined", limits=QUICK)
            assert started.json()["agent_joined"] is True, started.text
            assert receiver.requests == []
            await mongo.process.start()
            # The call is still live, and what happened so far is told at once.
            came = await until_told(receiver, "/all", 2, within=120)
            assert {request.event_id for request in came} == {
                event_id(key, EventType.SESSION_STARTED),
                event_id(key, EventType.SESSION_AGENT_JOINED),
            }
            await customer.tenant.end(key.session_id)
            came = await until_told(receiver, "/all", 5)
        assert max(receiver.seen["/all"].values()) == 1


# ── deliveries ───────────────────────────────────────────────────────────────────────────────────


async def test_a_delivery_is_tried_again_until_it_succeeds(
    customer: Customer, receiver: Receiver
) -> None:
    endpoint = await customer.endpoint(f"{receiver.url}/flaky", description="fails twice")
    pinged = await customer.ping(endpoint)
    delivered = await customer.until(pinged["delivery_id"], "delivered", 3)
    assert [attempt["status_code"] for attempt in delivered["attempts"]] == [500, 500, 200]
    assert delivered["attempts"][0]["reason"] == "the receiver answered 500"
    assert delivered["next_attempt_at"] is None
    requests = receiver.at("/flaky")
    assert len({request.event_id for request in requests}) == 1, "webhook-id stays the same"
    assert len({request.body for request in requests}) == 1
    assert requests[-1].verified(endpoint["secret"])["type"] == "webhook.test"


async def test_by_hand_a_delivery_need_not_wait_and_can_be_repeated(
    customer: Customer, receiver: Receiver
) -> None:
    receiver.answer_with = 503
    endpoint = await customer.endpoint(f"{receiver.url}/switch")
    pinged = await customer.ping(endpoint)
    path = f"/v1/webhooks/deliveries/{pinged['delivery_id']}"
    # Its next pause lasts ten minutes.
    waiting = await customer.until(pinged["delivery_id"], "pending", 3)
    pause = datetime.fromisoformat(waiting["next_attempt_at"]) - datetime.now(UTC)
    assert pause > timedelta(minutes=5)
    failing = (await customer.http.get(f"/v1/webhooks/{endpoint['webhook_id']}")).json()
    assert failing["failing_since"] is not None

    receiver.answer_with = 200
    again = await customer.http.post(f"{path}/redeliver")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await customer.until(pinged["delivery_id"], "delivered", 4)
    # Its workflow is over; once more it is a new run of the same id.
    handle = customer.house.temporal.get_workflow_handle(
        webhook_workflow_id(customer.org, pinged["delivery_id"])
    )
    await handle.result()
    converter = customer.house.temporal.data_converter
    await replay(await handle.fetch_history(), converter, [WebhookWorkflow])
    assert (await customer.http.post(f"{path}/redeliver")).status_code == 202
    await customer.until(pinged["delivery_id"], "delivered", 5)
    assert receiver.seen["/switch"] == {pinged["event_id"]: 5}


async def test_an_endpoint_that_is_gone_is_disabled_and_can_be_enabled_again(
    customer: Customer, receiver: Receiver
) -> None:
    endpoint = await customer.endpoint(f"{receiver.url}/gone")
    path = f"/v1/webhooks/{endpoint['webhook_id']}"
    pinged = await customer.ping(endpoint)
    dead = await customer.until(pinged["delivery_id"], "dead_letter", 1)
    assert (dead["attempt_count"], dead["reason"]) == (1, "the receiver answered 410")
    disabled = (await customer.http.get(path)).json()
    assert (disabled["enabled"], disabled["disabled_reason"]) == (
        False,
        "the receiver answered 410 Gone",
    )
    assert is_problem(await customer.http.post(f"{path}/test"), 409, "conflict")
    redeliver = f"/v1/webhooks/deliveries/{pinged['delivery_id']}/redeliver"
    assert is_problem(await customer.http.post(redeliver), 409, "conflict")

    changed = await customer.http.patch(path, json={"enabled": True, "url": f"{receiver.url}/back"})
    assert (changed.json()["enabled"], changed.json()["disabled_reason"]) == (True, None)
    assert (await customer.http.post(redeliver)).status_code == 202
    await customer.until(pinged["delivery_id"], "delivered", 2)
    # A deleted endpoint leaves its deliveries in the log, where nothing can be sent any more.
    assert (await customer.http.delete(path)).status_code == 204
    assert is_problem(await customer.http.post(redeliver), 409, "conflict")
    assert len(await customer.deliveries(webhook_id=endpoint["webhook_id"])) == 1


async def test_the_log_is_filtered_and_paged(customer: Customer, receiver: Receiver) -> None:
    one = await customer.endpoint(f"{receiver.url}/ok")
    other = await customer.endpoint(f"{receiver.url}/gone")
    pinged = [await customer.ping(one) for _ in range(5)]
    gone = await customer.ping(other)
    for ping in pinged:
        await customer.until(ping["delivery_id"], "delivered", 1)
    await customer.until(gone["delivery_id"], "dead_letter", 1)

    async def ids(**wanted: Any) -> list[str]:
        return [delivery["delivery_id"] for delivery in await customer.deliveries(**wanted)]

    newest_first = [gone["delivery_id"], *(ping["delivery_id"] for ping in reversed(pinged))]
    assert sorted(await ids()) == sorted(newest_first)
    assert await ids(status="dead_letter") == [gone["delivery_id"]]
    assert await ids(status="pending") == []
    assert len(await ids(webhook_id=one["webhook_id"], event="webhook.test")) == 5
    assert await ids(webhook_id=one["webhook_id"], status="dead_letter") == []
    assert await ids(event="session.ended") == []

    paged: list[JSON] = []
    cursor: JSON = {}
    while True:
        answer = await customer.http.get(
            "/v1/webhooks/deliveries", params={"limit": 2, "event": "webhook.test"} | cursor
        )
        paged += answer.json()["deliveries"]
        if answer.json()["next"] is None:
            break
        cursor = {"cursor": answer.json()["next"]}
    assert sorted(one["delivery_id"] for one in paged) == sorted(newest_first)
    times = [datetime.fromisoformat(one["occurred_at"]) for one in paged]
    assert times == sorted(times, reverse=True)
    wrong = await customer.http.get("/v1/webhooks/deliveries", params={"cursor": "nonsense"})
    assert is_problem(wrong, 422, "invalid_input")


# ── endpoints and secrets ────────────────────────────────────────────────────────────────────────


async def test_a_secret_is_shown_once_and_kept_encrypted(
    customer: Customer, receiver: Receiver
) -> None:
    made = await customer.endpoint(f"{receiver.url}/ok")
    secret = made["secret"]
    assert secret.startswith("whsec_")
    path = f"/v1/webhooks/{made['webhook_id']}"
    for answer in (
        await customer.http.get(path),
        await customer.http.get("/v1/webhooks"),
        await customer.http.patch(path, json={"description": "changed"}),
    ):
        assert answer.status_code == 200
        assert "whsec_" not in answer.text
        assert secret.removeprefix("whsec_") not in answer.text
    wanted = {"endpoint_id": made["webhook_id"]}
    stored = await customer.house.database[ENDPOINTS].find_one(wanted)
    assert stored
    assert secret.removeprefix("whsec_") not in repr(stored)
    # Nor in the history of a delivery, decrypted.
    pinged = await customer.ping(made)
    await customer.until(pinged["delivery_id"], "delivered", 1)
    assert secret.removeprefix("whsec_") not in await _decoded_history(customer, pinged)


async def _decoded_history(customer: Customer, delivery: JSON) -> str:
    handle = customer.house.temporal.get_workflow_handle(
        webhook_workflow_id(customer.org, delivery["delivery_id"])
    )
    await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
    history = await handle.fetch_history()
    codec = EncryptionCodec(customer.house.settings.everline_encryption_keys)
    found: list[str] = [history.to_json()]
    for event in history.events:
        for field in (
            event.workflow_execution_started_event_attributes.input,
            event.activity_task_scheduled_event_attributes.input,
            event.activity_task_completed_event_attributes.result,
        ):
            found += [str(payload) for payload in await codec.decode(list(field.payloads))]
    assert delivery["delivery_id"] in "".join(found), "the payloads were decrypted"
    return "\n".join(found)


async def test_while_a_secret_is_rotated_both_sign(customer: Customer, receiver: Receiver) -> None:
    made = await customer.endpoint(f"{receiver.url}/ok")
    path = f"/v1/webhooks/{made['webhook_id']}/rotate"
    rotated = (await customer.http.post(path, json={"overlap_hours": 1})).json()
    assert rotated["secret"] != made["secret"]
    assert len(rotated["secrets_expire_at"]) == 1
    both = await _pinged(customer, receiver, made)
    assert both.verified(made["secret"], rotated["secret"])["type"] == "webhook.test"

    last = (await customer.http.post(path, json={"overlap_hours": 0})).json()
    assert last["secrets_expire_at"] == []
    only = await _pinged(customer, receiver, made)
    only.verified(last["secret"])
    for old in (made["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            only.verified(old)


async def _pinged(customer: Customer, receiver: Receiver, endpoint: JSON) -> Received:
    pinged = await customer.ping(endpoint)
    await customer.until(pinged["delivery_id"], "delivered", 1)
    [came] = [request for request in receiver.requests if request.event_id == pinged["event_id"]]
    return came


async def test_rotations_at_the_same_time_do_not_overwrite_each_other(
    customer: Customer, receiver: Receiver
) -> None:
    made = await customer.endpoint(f"{receiver.url}/ok")
    path = f"/v1/webhooks/{made['webhook_id']}/rotate"
    answers = await asyncio.gather(*(customer.http.post(path) for _ in range(4)))
    rotated = [answer.json()["secret"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert rotated
    came = await _pinged(customer, receiver, made)
    came.verified(made["secret"], *rotated)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/x",
        "https://user:pass@hooks.example.com/x",
        "https://localhost/x",
        "not a url",
    ],
)
async def test_a_url_that_will_never_be_called_is_refused_at_once(house: House, url: str) -> None:
    key = await house.key(unique("customer"))
    codec = EncryptionCodec(house.settings.everline_encryption_keys)
    strict = HttpWebhookSender(allow_private=False)
    endpoints, deliveries = house.archive.webhook_endpoints(codec), house.archive.webhook_deliveries
    runs = TemporalDeliveryRuns(house.temporal, house.settings.temporal_task_queue)
    async with house.open(webhooks=Webhooks(endpoints, deliveries, runs, strict)) as app:
        http = Tenant(app, key).http
        refused = await http.post("/v1/webhooks", json={"url": url})
        assert is_problem(refused, 422, "invalid_input")
        assert refused.json()["errors"][0]["field"] == "url"
        cure = refused.json()["errors"][0]["cure"]
        private = ("http:", "https://127.", "https://[::ffff:10", "https://localhost")
        assert ("EVERLINE_WEBHOOKS_ALLOW_PRIVATE=true" in cure) == url.startswith(private)
        made = await http.post("/v1/webhooks", json={"url": "https://hooks.example.com/x"})
        assert made.status_code == 201
        changed = await http.patch(made.headers["location"], json={"url": url})
        assert is_problem(changed, 422, "invalid_input")


async def test_what_else_is_refused(customer: Customer, receiver: Receiver) -> None:
    url = f"{receiver.url}/ok"
    for body in (
        {"url": url, "events": ["session.vanished"]},
        {"url": url, "events": ["webhook.test"]},
        {"url": url, "secret": "whsec_mine"},
        {},
    ):
        refused = await customer.http.post("/v1/webhooks", json=body)
        assert is_problem(refused, 422, "invalid_input")
    made = [await customer.endpoint(url) for _ in range(20)]
    path = f"/v1/webhooks/{made[0]['webhook_id']}"
    refused = await customer.http.post("/v1/webhooks", json={"url": url})
    assert is_problem(refused, 409, "conflict")
    refused = await customer.http.patch(path, json={"url": None})
    assert is_problem(refused, 422, "invalid_input")
    unknown = "/v1/webhooks/we_unknown"
    for answer in (
        await customer.http.get(unknown),
        await customer.http.patch(unknown, json={}),
        await customer.http.delete(unknown),
        await customer.http.post(f"{unknown}/rotate"),
        await customer.http.post(f"{unknown}/test"),
        await customer.http.get("/v1/webhooks/deliveries/dlv_unknown"),
        await customer.http.post("/v1/webhooks/deliveries/dlv_unknown/redeliver"),
    ):
        assert is_problem(answer, 404, "not_found")


async def test_without_mongodb_there_are_no_endpoints(house: House) -> None:
    key = await house.key(unique("customer"))
    async with house.open(webhooks=None) as app:
        answer = await Tenant(app, key).http.get("/v1/webhooks")
        assert is_problem(answer, 503, "storage_unavailable")
