"""Many deliveries to receivers of every kind: each ends as the documents say.

Receivers are real, and so is MongoDB; what a workflow does with the answers (pauses over days) is
left out here, so that many fit into a test run. That part is in
`tests/api/webhooks/test_webhooks.py`. With `--chaos-long` there are a thousand.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from adapters.http.webhook_sender import HttpWebhookSender
from adapters.mongo import MongoArchive
from adapters.mongo.client import connect
from adapters.temporal.encryption import EncryptionCodec
from domain.ids import SessionKey
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import Outcome, SessionState, SessionStatus, WaitingFor
from domain.webhooks.deliveries import Delivery, DeliveryFilter, DeliveryKey, DeliveryStatus
from domain.webhooks.endpoints import Endpoint, EndpointKey, SigningSecret, new_endpoint_id
from domain.webhooks.events import Event, EventType, event_id
from domain.webhooks.signatures import new_secret
from services.webhooks.delivery import AnnouncedRecords, Announcer, Deliverer, Tried
from tests.api.house import unique
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from tests.servers import MongoServer

PRIVATE_HOST = "inside.example.com"
SCHEDULE = (0.01, 0.01)
"""Three attempts; the pauses are not slept here."""
AT_ONCE = 16


@dataclass(frozen=True)
class Ends:
    """How every delivery to a kind of receiver ends.

    Attributes:
        share: how many of a hundred deliveries are of this kind.
        status: where each ends.
        attempts: how many each has in its log.
        requests: how many of them reach the receiver.
        reason: of its last failure.
    """

    share: int
    status: DeliveryStatus
    attempts: int
    requests: int
    reason: str | None = None


DELIVERED, DEAD = DeliveryStatus.DELIVERED, DeliveryStatus.DEAD_LETTER
EXPECTED = {
    "ok": Ends(40, DELIVERED, 1, 1),
    "flaky": Ends(22, DELIVERED, 3, 3, "the receiver answered 500"),
    "busy": Ends(9, DELIVERED, 2, 2, "the receiver answered 429"),
    "down": Ends(8, DEAD, 3, 3, "the receiver answered 500"),
    "redirect": Ends(8, DEAD, 3, 3, "the receiver redirects (302), which is not followed"),
    "hang": Ends(2, DEAD, 3, 3, "no answer within 5 s"),
    "private": Ends(
        8, DEAD, 1, 0, "its host name leads to an address that is not public; give a public host"
    ),
}
GONE_SHARE = 100 - sum(ends.share for ends in EXPECTED.values())
"""The rest are 410s: they disable their endpoint, so each has an endpoint of its own."""


class Started:
    """The port `DeliveryRuns`: notes what would be started."""

    def __init__(self) -> None:
        self.keys: list[DeliveryKey] = []

    async def start(self, key: DeliveryKey) -> None:
        self.keys.append(key)

    async def start_again(self, key: DeliveryKey) -> None:
        self.keys.append(key)


async def _names(host: str, port: int) -> list[str]:
    return ["169.254.169.254" if host == PRIVATE_HOST else "127.0.0.1"]


class Office:
    """One worker's parts that announce and deliver, on a database of their own."""

    def __init__(self, archive: MongoArchive, receiver: Receiver) -> None:
        self.receiver = receiver
        self.endpoints = archive.webhook_endpoints(EncryptionCodec({"k1": bytes(range(32))}))
        self.deliveries = archive.webhook_deliveries
        self.runs = Started()
        self.announcer = Announcer(self.endpoints, self.deliveries, self.runs)
        self.records = AnnouncedRecords(archive.sessions, self.announcer)
        # Only a receiver that hangs is meant to be too slow, however busy this machine is.
        self.patient = HttpWebhookSender(allow_private=True, seconds=60.0, resolve=_names)
        self.impatient = HttpWebhookSender(allow_private=True, seconds=5.0, resolve=_names)

    def deliverer(self, *, patient: bool = True, **rules: timedelta) -> Deliverer:
        """What makes the attempts."""
        sender = self.patient if patient else self.impatient
        return Deliverer(self.endpoints, self.deliveries, sender, SCHEDULE, **rules)

    async def endpoint(self, org: str, path: str, *events: EventType) -> Endpoint:
        """An endpoint at a path of the receiver; `private` is at a host of that kind."""
        url = f"{self.receiver.url}/{path}"
        if path == "private":
            url = url.replace("127.0.0.1", PRIVATE_HOST)
        now = datetime.now(UTC)
        made = Endpoint(
            org=org,
            endpoint_id=new_endpoint_id(now),
            url=url,
            events=list(events),
            created_at=now,
            updated_at=now,
            secrets=[SigningSecret(value=new_secret(), created_at=now)],
        )
        await self.endpoints.insert(made)
        return made

    async def to_the_end(self, key: DeliveryKey, deliverer: Deliverer) -> Tried:
        """All attempts of a delivery, as its workflow makes them, without the pauses."""
        number = 1
        while True:
            tried = await deliverer.attempt(key, number, datetime.now(UTC))
            if tried.pause is None:
                return tried
            number += 1

    async def delivery(self, key: DeliveryKey) -> Delivery:
        found = await self.deliveries.get(key)
        assert found
        return found


def ended(org: str, session_id: str) -> Event:
    """A session's end."""
    key = SessionKey(org, session_id)
    return Event(
        event_id=event_id(key, EventType.SESSION_ENDED),
        type=EventType.SESSION_ENDED,
        org=org,
        session_id=session_id,
        at=datetime.now(UTC),
        data={"session_id": session_id},
    )


@pytest.fixture
async def office(mongo_server: MongoServer) -> AsyncGenerator[Office]:
    async with AsyncExitStack() as stack:
        client = connect(mongo_server.uri)
        stack.callback(client.close)
        # Not dropped: that takes the server longer than to be thrown away with everything in it.
        archive = MongoArchive(client, unique("test"))
        await archive.ensure_indexes()
        office = Office(archive, await stack.enter_async_context(webhook_receiver()))
        await stack.enter_async_context(office.patient)
        await stack.enter_async_context(office.impatient)
        yield office


@pytest.mark.timeout(900)
@pytest.mark.parametrize("hundreds", [2, pytest.param(10, marks=pytest.mark.chaos)])
async def test_many_deliveries_each_end_as_documented(office: Office, hundreds: int) -> None:
    endpoints: dict[str, Endpoint] = {}
    for kind, ends in EXPECTED.items():
        endpoints[kind] = await office.endpoint(f"org-{kind}", kind)
        count = ends.share * hundreds
        events = [ended(f"org-{kind}", f"call-{number}") for number in range(count)]
        assert await office.announcer.announce(f"org-{kind}", events) == count
    gone: list[Endpoint] = []
    for number in range(GONE_SHARE * hundreds):
        org = f"org-gone-{number}"
        gone.append(await office.endpoint(org, f"gone/{number}"))
        await office.announcer.announce(org, [ended(org, "call")])
    assert len(set(office.runs.keys)) == 100 * hundreds

    deliverers = {True: office.deliverer(), False: office.deliverer(patient=False)}
    # The slow ones have places of their own: the others pass them.
    places = {
        True: asyncio.Semaphore(AT_ONCE),
        False: asyncio.Semaphore(EXPECTED["hang"].share * hundreds),
    }

    async def deliver(key: DeliveryKey) -> None:
        patient = key.org != "org-hang"
        async with places[patient]:
            await office.to_the_end(key, deliverers[patient])

    await asyncio.gather(*(deliver(key) for key in office.runs.keys))

    for kind, ends in EXPECTED.items():
        await _check_kind(office, endpoints[kind], kind, ends, ends.share * hundreds)
    for endpoint in gone:
        await _check_gone(office, endpoint)
    assert office.receiver.at("/redirected") == [], "no redirect was followed"
    signers = {f"/{kind}": one for kind, one in endpoints.items()}
    signers |= {f"/gone/{number}": one for number, one in enumerate(gone)}
    for request in office.receiver.requests:
        event = request.verified(signers[request.path].secrets[0].value)
        assert event["type"] == "session.ended"
        assert request.event_id == event_id(
            SessionKey(signers[request.path].org, event["data"]["session_id"]),
            EventType.SESSION_ENDED,
        )


async def _check_kind(
    office: Office, endpoint: Endpoint, kind: str, ends: Ends, count: int
) -> None:
    deliveries = await _all_of(office, endpoint)
    assert len(deliveries) == count, kind
    for delivery in deliveries:
        assert delivery.status is ends.status, (kind, delivery)
        assert delivery.attempt_count == len(delivery.attempts) == ends.attempts, (kind, delivery)
        failures = [attempt for attempt in delivery.attempts if not attempt.delivered]
        assert len(failures) == ends.attempts - (ends.status is DELIVERED)
        assert {failure.reason for failure in failures} <= {ends.reason}, kind
        assert delivery.reason == (ends.reason if ends.status is DEAD else None), kind
        assert delivery.next_attempt_at is None
    came = Counter(request.event_id for request in office.receiver.at(f"/{kind}"))
    wanted = {delivery.event_id: ends.requests for delivery in deliveries if ends.requests}
    assert came == wanted, kind


async def _check_gone(office: Office, endpoint: Endpoint) -> None:
    [delivery] = await _all_of(office, endpoint)
    assert (delivery.status, delivery.attempt_count) == (DEAD, 1)
    assert delivery.reason == "the receiver answered 410"
    disabled = await office.endpoints.get(endpoint.key)
    assert disabled
    assert not disabled.enabled
    assert disabled.disabled_reason == "the receiver answered 410 Gone"


async def _all_of(office: Office, endpoint: Endpoint) -> list[Delivery]:
    """An endpoint's deliveries, page by page."""
    found: list[Delivery] = []
    cursor: str | None = None
    wanted = DeliveryFilter(endpoint_id=endpoint.endpoint_id)
    while True:
        page = await office.deliveries.page(endpoint.org, wanted, 100, cursor)
        found += page.items
        cursor = page.next
        if cursor is None:
            assert len({delivery.delivery_id for delivery in found}) == len(found)
            return found


async def test_an_event_is_on_its_way_once_however_often_it_is_announced(office: Office) -> None:
    first = await office.endpoint("acme", "ok")
    await office.endpoint("acme", "ok", EventType.SESSION_FAILED)
    event = ended("acme", "call")
    assert await office.announcer.announce("acme", [event]) == 1
    # It was stored, and the process died before its workflow was started.
    assert await office.announcer.announce("acme", [event]) == 0
    [key] = set(office.runs.keys)
    assert len(office.runs.keys) == 2
    await office.to_the_end(key, office.deliverer())
    assert await office.announcer.announce("acme", [event]) == 0
    assert len(office.runs.keys) == 2, "it is not started again once it was tried"
    assert (await office.delivery(key)).endpoint_id == first.endpoint_id
    late = await office.endpoint("acme", "ok")
    assert late.wants(event) is False, "an endpoint is not told of what was before it"


async def test_an_endpoint_that_fails_for_days_is_disabled(office: Office) -> None:
    endpoint = await office.endpoint("acme", "switch")
    office.receiver.answer_with = 503
    deliverer = office.deliverer(disable_after=timedelta(days=5))
    for number in range(3):
        await office.announcer.announce("acme", [ended("acme", f"call-{number}")])
    one, two, three = office.runs.keys
    now = datetime.now(UTC)
    await deliverer.attempt(one, 1, now)
    await deliverer.attempt(two, 1, now + timedelta(days=4.9))
    still = await office.endpoints.get(endpoint.key)
    assert still
    assert still.enabled
    assert still.failing_since
    assert still.failing_since - now < timedelta(days=1), "since the first failure, not the last"

    tried = await deliverer.attempt(three, 1, now + timedelta(days=5.1))
    assert tried.status is DeliveryStatus.PENDING
    disabled = await office.endpoints.get(endpoint.key)
    assert disabled
    assert not disabled.enabled
    assert "every delivery has failed since" in (disabled.disabled_reason or "")
    # What was on its way ends with it, and nothing more is sent.
    sent = len(office.receiver.requests)
    tried = await deliverer.attempt(three, 2, now + timedelta(days=5.2))
    assert tried == Tried(DEAD)
    assert (await office.delivery(three)).reason == "the endpoint is disabled"
    assert len(office.receiver.requests) == sent
    assert await office.announcer.announce("acme", [ended("acme", "later")]) == 0


async def test_one_success_ends_a_time_of_failure(office: Office) -> None:
    endpoint = await office.endpoint("acme", "switch")
    deliverer = office.deliverer()
    await office.announcer.announce("acme", [ended("acme", "call")])
    [key] = office.runs.keys
    office.receiver.answer_with = 500
    await deliverer.attempt(key, 1, datetime.now(UTC))
    failing = await office.endpoints.get(endpoint.key)
    office.receiver.answer_with = 200
    await deliverer.attempt(key, 2, datetime.now(UTC))
    healthy = await office.endpoints.get(endpoint.key)
    assert failing
    assert healthy
    assert failing.failing_since is not None
    assert healthy.failing_since is None


async def test_a_receiver_may_ask_for_more_time_than_the_schedule_has(office: Office) -> None:
    await office.endpoint("acme", "busy")
    await office.announcer.announce("acme", [ended("acme", "call")])
    [key] = office.runs.keys
    tried = await office.deliverer().attempt(key, 1, datetime.now(UTC))
    assert tried == Tried(DeliveryStatus.PENDING, 1.0)
    waiting = await office.delivery(key)
    assert waiting.next_attempt_at
    assert waiting.next_attempt_at > waiting.occurred_at


async def test_a_deleted_endpoint_gets_nothing_more(office: Office) -> None:
    endpoint = await office.endpoint("acme", "ok")
    await office.announcer.announce("acme", [ended("acme", "call")])
    [key] = office.runs.keys
    assert await office.endpoints.delete(EndpointKey("acme", endpoint.endpoint_id))
    assert await office.to_the_end(key, office.deliverer()) == Tried(DEAD)
    assert (await office.delivery(key)).reason == "the endpoint is deleted"
    assert office.receiver.requests == []


async def test_the_record_of_a_session_is_not_written_without_its_webhooks(office: Office) -> None:
    """The reaper writes the record of a session that was terminated, and so tells of its end."""
    await office.endpoint("acme", "ok")
    now = datetime.now(UTC)
    open_session = SessionStatus(
        org="acme",
        session_id="call",
        room_name="acme.call",
        state=SessionState.LIVE,
        waiting_for=WaitingFor.CALL_END,
        version=4,
        agent_name="a",
        started_at=now,
        joined_at=now,
    )
    await office.records.record(open_session)
    assert await _events(office) == ["session.agent_joined", "session.started"]
    closed = open_session.model_copy(
        update={
            "state": SessionState.CLOSED,
            "outcome": Outcome.FAILED,
            "end_reason": EndReason.FAILED,
            "closed_at": now,
            "version": 1_004,
        }
    )
    for _ in range(2):
        await office.records.record(closed)
    assert await _events(office) == [
        "session.agent_joined",
        "session.ended",
        "session.failed",
        "session.started",
    ]
    assert (await office.records.not_closed(10)).items == []


async def _events(office: Office) -> list[str]:
    page = await office.deliveries.page("acme", DeliveryFilter(), 100, None)
    return sorted(delivery.event.value for delivery in page.items)
