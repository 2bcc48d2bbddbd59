"""Receipts of LiveKit's webhooks: stored now and then, by nobody who waits for it."""

import asyncio
from datetime import UTC, datetime, timedelta

from domain.errors import StorageUnavailable, Unauthenticated
from domain.sessions.webhook_receipts import WebhookReceipts
from services.sessions.webhook_receipts import STORE_EVERY, LiveKitWebhooks
from tests.waiting import eventually

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Store:
    """The port `ReceiptStore`, which can be away."""

    def __init__(self) -> None:
        self.puts: list[WebhookReceipts] = []
        self.away = False

    async def put(self, receipts: WebhookReceipts) -> None:
        self.puts.append(receipts)
        await asyncio.sleep(0)
        if self.away:
            raise StorageUnavailable("MongoDB is away: test")

    async def get(self) -> WebhookReceipts:
        return self.puts[-1]


async def test_however_many_come_few_are_stored() -> None:
    store = Store()
    webhooks = LiveKitWebhooks(store)
    for milliseconds in range(0, 9_000, 10):
        webhooks.received(NOON + timedelta(milliseconds=milliseconds))
    webhooks.expected(NOON)
    webhooks.received(NOON + STORE_EVERY)

    await eventually(lambda: len(store.puts) == 3, 30, "three are stored")
    assert [put.model_dump(exclude_unset=True) for put in store.puts] == [
        {"received_at": NOON},
        {"expected_at": NOON},
        {"received_at": NOON + STORE_EVERY},
    ]


async def test_a_store_that_is_away_fails_nobody() -> None:
    store = Store()
    store.away = True
    webhooks = LiveKitWebhooks(store)
    webhooks.received(NOON)
    await eventually(lambda: len(store.puts) == 1, 30, "it was tried")
    store.away = False
    webhooks.received(NOON + STORE_EVERY)
    await eventually(lambda: len(store.puts) == 2, 30, "it is tried again")

    assert (await webhooks.receipts()).received_at == NOON + STORE_EVERY


async def test_without_mongodb_this_process_remembers() -> None:
    webhooks = LiveKitWebhooks()
    webhooks.expected(NOON)
    webhooks.rejected(NOON, Unauthenticated("the event is too old", cure="check the clocks"))

    assert await webhooks.receipts() == WebhookReceipts(
        expected_at=NOON,
        rejected_at=NOON,
        rejection="the event is too old",
        rejection_cure="check the clocks",
    )
