"""What the worker needs to tell customers' endpoints."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities.errors import TranslateErrors
from activities.webhooks import WebhookActivities
from adapters.http.webhook_sender import HttpWebhookSender
from adapters.mongo.archive import MongoArchive
from adapters.settings import WorkerSettings
from adapters.temporal.encryption import EncryptionCodec
from adapters.temporal.runs import TemporalDeliveryRuns
from domain.webhooks.deliveries import webhook_task_queue
from services.webhooks.delivery import Announcer, Deliverer
from worker.shutdown import GRACEFUL_SHUTDOWN

MAX_ATTEMPTS_AT_ONCE = 100
"""Attempts of one worker process that wait for their receivers at the same time."""


@dataclass(frozen=True)
class WebhookParts:
    """The parts that announce and deliver; without MongoDB there are no endpoints, and no parts.

    Attributes:
        announcer: puts events on their way; None without MongoDB.
        activities: the steps of the workflows.
    """

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
        """The parts for the worker of these settings."""
        if archive is None:
            return NO_WEBHOOKS
        endpoints = archive.webhook_endpoints(EncryptionCodec(settings.everline_encryption_keys))
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
        return cls(announcer, WebhookActivities(announcer, deliverer))


NO_WEBHOOKS = WebhookParts(None, WebhookActivities(None, None))
"""Of a worker without MongoDB."""


def sender_of(settings: WorkerSettings) -> HttpWebhookSender:
    """What sends the events."""
    return HttpWebhookSender(
        allow_private=settings.everline_webhooks_allow_private,
        seconds=settings.everline_webhooks_timeout_seconds,
    )


def delivery_worker(client: Client, settings: WorkerSettings, webhooks: WebhookParts) -> Worker:
    """The worker of the attempts to deliver: slow receivers take its places alone."""
    return Worker(
        client,
        task_queue=webhook_task_queue(settings.temporal_task_queue),
        activities=[webhooks.activities.attempt_delivery],
        interceptors=[TranslateErrors()],
        # What is cut short is sent once more, with the same id.
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        max_concurrent_activities=MAX_ATTEMPTS_AT_ONCE,
    )
