"""Webhooks in the worker: announcing events, and delivering them to customers."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client

from activities.webhooks import WebhookActivities
from adapters.http.webhook_sender import HttpWebhookSender
from adapters.mongo.archive import MongoArchive
from adapters.settings import WorkerSettings
from adapters.temporal.encryption import EncryptionCodec
from adapters.temporal.runs import TemporalDeliveryRuns
from domain.task_queues import TaskKind
from services.webhooks.delivery import Announcer, Deliverer
from worker.slots import shares_of


@dataclass(frozen=True)
class WebhookParts:
    """Announces and delivers events; without MongoDB there are no endpoints, and no parts."""

    announcer: Announcer | None
    activities: WebhookActivities

    @classmethod
    def of(
        cls,
        settings: WorkerSettings,
        archive: MongoArchive | None,
        client: Client,
        sender: HttpWebhookSender,
    ) -> "WebhookParts":
        """The parts that the settings ask for."""
        if archive is None:
            return NO_WEBHOOKS
        endpoints = archive.webhook_endpoints(EncryptionCodec(settings.encryption_keys))
        deliveries = archive.webhook_deliveries
        runs = TemporalDeliveryRuns(client, settings.temporal_task_queue)
        announcer = Announcer(endpoints, deliveries, runs)
        deliverer = Deliverer(
            endpoints,
            deliveries,
            sender,
            settings.everline_webhooks_retry_seconds,
            timedelta(hours=settings.everline_webhooks_disable_after_hours),
        )
        shares = shares_of(settings, TaskKind.WEBHOOKS)
        return cls(announcer, WebhookActivities(announcer, deliverer, shares))


NO_WEBHOOKS = WebhookParts(None, WebhookActivities(None, None))


def sender_of(settings: WorkerSettings) -> HttpWebhookSender:
    """The sender of events."""
    return HttpWebhookSender(
        allow_private=settings.everline_webhooks_allow_private,
        seconds=settings.everline_webhooks_timeout_seconds,
    )
