"""Announce events, and deliver each to every endpoint that wants it.

Announcing stores one delivery per endpoint and starts its workflow. The delivery id is derived from
event and endpoint, so an event that is announced repeatedly is delivered once.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from domain.ids import SessionKey
from domain.sessions.ports import SessionArchive, SessionRecords
from domain.sessions.session import SessionStatus
from domain.webhooks.deliveries import (
    USUAL_SCHEDULE,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    DeliveryStatus,
    SendAnswer,
    delivery_of,
)
from domain.webhooks.endpoints import Endpoint, EndpointKey
from domain.webhooks.events import Event
from domain.webhooks.ports import DeliveryRuns, DeliveryStore, EndpointStore, WebhookSender
from domain.webhooks.session_events import events_of_session
from domain.webhooks.signatures import signed_headers

log = structlog.get_logger()

JITTER = 0.1
"""Random share by which a pause is shortened or lengthened."""
LONGEST_PAUSE = timedelta(hours=24)
"""Upper limit of a receiver's Retry-After."""
GONE = 410


@dataclass
class Announcer:
    """Starts deliveries of events to the endpoints that want them."""

    endpoints: EndpointStore
    deliveries: DeliveryStore
    runs: DeliveryRuns

    async def announce(self, org: str, events: Iterable[Event]) -> int:
        """Announce events of one org; returns how many deliveries are new.

        Raises:
            Unavailable: MongoDB or Temporal is away; call again with the same events.
        """
        endpoints = await self.endpoints.list_endpoints(org)
        if not endpoints:
            return 0
        new = 0
        for event in events:
            for endpoint in endpoints:
                if endpoint.wants(event):
                    new += await self._start_delivery(delivery_of(event, endpoint))
        return new

    async def _start_delivery(self, delivery: Delivery) -> bool:
        new = await self.deliveries.insert(delivery)
        if not new:
            known = await self.deliveries.get(delivery.key)
            # Temporal forgets workflows sooner than the longest call may last.
            if known is None or known.attempt_count > 0:
                return False
        await self.runs.start(delivery.key)
        return new

    async def announce_session(self, status: SessionStatus) -> int:
        """As `announce`, for the events of a session so far."""
        return await self.announce(status.org, events_of_session(status))


@dataclass
class AnnouncedSessions:
    """The port `SessionArchive`, which announces the events of each record that it stores.

    So neither a session's workflow nor the reaper can write a record without its webhooks.
    """

    sessions: SessionArchive
    announcer: Announcer | None

    async def record(self, status: SessionStatus) -> None:
        """Announce, then store a status unless a newer version of it is stored.

        In this order, because the reaper does not look at terminal records again.
        """
        if self.announcer:
            await self.announcer.announce_session(status)
        await self.sessions.record(status)

    async def get(self, key: SessionKey) -> SessionStatus | None:
        """The last stored status."""
        return await self.sessions.get(key)


class AnnouncedRecords(AnnouncedSessions):
    """The port `SessionRecords`, with the same announcements."""

    def __init__(self, records: SessionRecords, announcer: Announcer | None) -> None:
        super().__init__(records, announcer)
        self.not_closed = records.not_closed


@dataclass(frozen=True)
class Tried:
    """The state of a delivery after an attempt."""

    status: DeliveryStatus
    pause: float | None = None
    """Seconds until the next attempt; None if there is none."""


@dataclass
class Deliverer:
    """Makes delivery attempts; the workflow decides when."""

    endpoints: EndpointStore
    deliveries: DeliveryStore
    sender: WebhookSender
    schedule: Sequence[float] = USUAL_SCHEDULE
    """Seconds before each further attempt; after the last one it is a dead letter."""
    disable_after: timedelta = timedelta(days=5)
    """How long an endpoint may fail without any success."""

    async def attempt(self, key: DeliveryKey, number: int, now: datetime) -> Tried:
        """Make attempt `number` of a run, counted from 1, and record its result.

        Raises:
            Unavailable: MongoDB is away; if the request was sent, it will be sent again.
        """
        delivery = await self.deliveries.get(key)
        if delivery is None:
            return Tried(DeliveryStatus.DEAD_LETTER)
        endpoint = await self.endpoints.get(EndpointKey(key.org, delivery.endpoint_id))
        if endpoint is None or not endpoint.enabled:
            what = "disabled" if endpoint else "deleted"
            return await self._dead_letter(delivery, None, f"the endpoint is {what}", now)
        answer = await self._send(delivery, endpoint, now)
        ended = now + timedelta(milliseconds=answer.duration_ms)
        await self._note_health(endpoint, answer, ended)
        made = DeliveryAttempt(
            at=now,
            delivered=answer.reason is None,
            status_code=answer.status_code,
            duration_ms=answer.duration_ms,
            reason=answer.reason,
        )
        if answer.reason is None:
            return await self._record(delivery, made, Tried(DeliveryStatus.DELIVERED), ended)
        if answer.final or answer.status_code == GONE or number > len(self.schedule):
            return await self._dead_letter(delivery, made, answer.reason, ended)
        pause = _pause(self.schedule[number - 1], answer.retry_after)
        return await self._record(delivery, made, Tried(DeliveryStatus.PENDING, pause), ended)

    async def _send(self, delivery: Delivery, endpoint: Endpoint, now: datetime) -> SendAnswer:
        signing = [secret.value for secret in endpoint.secrets if secret.signs_at(now)]
        body = delivery.body.encode()
        headers = signed_headers(delivery.event_id, now, body, signing)
        return await self.sender.send(endpoint.url, headers, body)

    async def _note_health(self, endpoint: Endpoint, answer: SendAnswer, now: datetime) -> None:
        """Record since when an endpoint fails; disable one that is gone or fails for too long."""
        since = endpoint.failing_since
        if answer.reason is None:
            if since:
                await self.endpoints.change(endpoint.key, {"failing_since": None})
            return
        if answer.status_code == GONE:
            reason = "the receiver answered 410 Gone"
        elif since is None:
            await self.endpoints.change(endpoint.key, {"failing_since": now})
            return
        elif now - since >= self.disable_after:
            reason = f"every delivery has failed since {since:%Y-%m-%d %H:%M} UTC: {answer.reason}"
        else:
            return
        fields = {"enabled": False, "disabled_at": now, "disabled_reason": reason}
        await self.endpoints.change(endpoint.key, fields)
        log.warning(
            "webhook endpoint disabled",
            org=endpoint.org,
            endpoint=endpoint.endpoint_id,
            reason=reason,
        )

    async def _dead_letter(
        self, delivery: Delivery, made: DeliveryAttempt | None, reason: str, now: datetime
    ) -> Tried:
        log.warning(
            "webhook delivery is a dead letter",
            org=delivery.org,
            delivery=delivery.delivery_id,
            about=delivery.event.value,
            reason=reason,
        )
        return await self._record(delivery, made, Tried(DeliveryStatus.DEAD_LETTER), now, reason)

    async def _record(
        self,
        delivery: Delivery,
        made: DeliveryAttempt | None,
        tried: Tried,
        now: datetime,
        reason: str | None = None,
    ) -> Tried:
        pause = None if tried.pause is None else timedelta(seconds=tried.pause)
        fields = {
            "status": tried.status,
            "reason": reason,
            "next_attempt_at": None if pause is None else now + pause,
            "updated_at": now,
        }
        await self.deliveries.note(delivery.model_copy(update=fields), made)
        return tried


def _pause(scheduled: float, asked_for: float | None) -> float:
    jittered = scheduled * random.uniform(1 - JITTER, 1 + JITTER)
    return min(max(jittered, asked_for or 0.0), LONGEST_PAUSE.total_seconds() * (1 + JITTER))
