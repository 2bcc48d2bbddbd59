"""One example of each body that is about webhooks, for `api.examples`."""

from typing import Any

from pydantic import BaseModel

from api.routes.webhooks.deliveries import DeliveryAnswer, DeliveryList
from api.routes.webhooks.endpoints import (
    RotateBody,
    WebhookAnswer,
    WebhookBody,
    WebhookChange,
    WebhookCreated,
    WebhookList,
)

Json = dict[str, Any]

_START, _END = "2030-01-31T08:00:00Z", "2030-01-31T08:04:10Z"

_WEBHOOK: Json = {
    "webhook_id": "we_01a204e645aec18590a92ce2",
    "url": "https://hooks.example.com/everline",
    "events": ["session.ended", "summary.ready"],
    "description": None,
    "enabled": True,
    "disabled_at": None,
    "disabled_reason": None,
    "failing_since": None,
    "created_at": _START,
    "updated_at": _START,
    "secrets_expire_at": [],
}
_DELIVERY: Json = {
    "delivery_id": "dlv_307eb9ebeecc558dbdfa3d36c450d7d0",
    "webhook_id": "we_01a204e645aec18590a92ce2",
    "event": "session.ended",
    "event_id": "evt_5f0c1c2f9f1e8a4d7b6a3e2d1c0b9a88",
    "session_id": "call-1",
    "status": "pending",
    "reason": None,
    "occurred_at": _END,
    "updated_at": _END,
    "next_attempt_at": _END,
    "attempt_count": 1,
    "attempts": [
        {
            "at": _END,
            "delivered": False,
            "status_code": 503,
            "duration_ms": 84,
            "reason": "the receiver answered 503",
        }
    ],
    "body": {
        "type": "session.ended",
        "timestamp": _END,
        "data": {"session_id": "call-1", "outcome": "completed"},
    },
}

WEBHOOK_EXAMPLES: dict[type[BaseModel], Json] = {
    WebhookBody: {"url": _WEBHOOK["url"], "events": _WEBHOOK["events"]},
    WebhookChange: {"enabled": True},
    RotateBody: {"overlap_hours": 24},
    WebhookAnswer: _WEBHOOK,
    WebhookCreated: {"secret": "whsec_c2hvd24gb25jZSwgYW5kIHN0b3JlZCBlbmNyeXB0ZWQ=", **_WEBHOOK},
    WebhookList: {"webhooks": [_WEBHOOK]},
    DeliveryAnswer: _DELIVERY,
    DeliveryList: {"deliveries": [_DELIVERY], "next": None},
}
