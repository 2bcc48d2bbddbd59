"""Receipts of LiveKit's webhooks: what one API process notes, all of them know."""

from datetime import timedelta

from adapters.mongo import MongoArchive
from domain.sessions.webhook_receipts import WebhookReceipts
from tests.adapters.mongo.examples import NOON


async def test_what_was_noted_is_known_and_the_rest_is_kept(archive: MongoArchive) -> None:
    store, later = archive.livekit_webhooks, NOON + timedelta(seconds=5)
    nothing = await store.get()
    await store.put(WebhookReceipts(expected_at=NOON))
    await store.put(WebhookReceipts(rejected_at=NOON, rejection="too old", rejection_cure=None))
    await store.put(WebhookReceipts(received_at=NOON))
    await store.put(WebhookReceipts(received_at=later))

    assert nothing == WebhookReceipts()
    assert await store.get() == WebhookReceipts(
        received_at=later, expected_at=NOON, rejected_at=NOON, rejection="too old"
    )
