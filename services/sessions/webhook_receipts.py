"""Record whether LiveKit's webhooks arrive, so that operators learn when they do not."""

import asyncio
from datetime import datetime, timedelta

import structlog

from domain.errors import EverlineError, Unauthenticated
from domain.sessions.ports import ReceiptStore
from domain.sessions.webhook_receipts import WebhookReceipts

log = structlog.get_logger()

STORE_EVERY = timedelta(seconds=10)
"""Minimum interval between two stored receipts of one kind."""
LONGEST_CURE = 500


class LiveKitWebhooks:
    """Records receipts and stores them in the background, so that requests need no MongoDB."""

    def __init__(self, store: ReceiptStore | None = None) -> None:
        """Keep the receipts in the store; None keeps them in memory."""
        self._store = store
        self._here = WebhookReceipts()
        self._stored: dict[str, datetime] = {}
        self._storing: set[asyncio.Task[None]] = set()

    def received(self, at: datetime) -> None:
        """A webhook with a valid signature arrived."""
        self._note("received_at", at)

    def expected(self, at: datetime) -> None:
        """An agent joined a call, so LiveKit must have sent webhooks."""
        self._note("expected_at", at)

    def external_agent(self, at: datetime) -> None:
        """An agent that sends no heartbeats joined a call."""
        self._note("external_agent_at", at)

    def rejected(self, at: datetime, error: Unauthenticated) -> None:
        """A webhook was refused, with the reason."""
        cure = error.cure and error.cure[:LONGEST_CURE]
        self._note("rejected_at", at, rejection=error.message[:LONGEST_CURE], rejection_cure=cure)

    async def receipts(self) -> WebhookReceipts:
        """What all API processes know, or this one alone without MongoDB.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        return await self._store.get() if self._store else self._here

    def _note(self, kind: str, at: datetime, **reason: str | None) -> None:
        receipts = WebhookReceipts.model_validate({kind: at, **reason})
        if self._store is None:
            self._here = self._here.model_copy(update=receipts.model_dump(exclude_unset=True))
            return
        last = self._stored.get(kind)
        if last is not None and at - last < STORE_EVERY:
            return
        self._stored[kind] = at
        task = asyncio.create_task(_store(self._store, receipts))
        # Keep a reference, because asyncio holds only weak ones.
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)


async def _store(store: ReceiptStore, receipts: WebhookReceipts) -> None:
    try:
        await store.put(receipts)
    except EverlineError as error:
        # The next webhook is stored again.
        log.warning("a webhook receipt was not stored", reason=error.message)
