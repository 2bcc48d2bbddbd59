"""Whether LiveKit's webhooks reach this installation."""

from datetime import datetime

from pydantic import BaseModel, Field


class WebhookReceipts(BaseModel):
    """When webhooks came from LiveKit last, and when they should have."""

    received_at: datetime | None = None
    """When the last genuine one came; None if none ever did."""
    expected_at: datetime | None = None
    """When an agent last joined a call, of which LiveKit has sent webhooks if it sends any."""
    external_agent_at: datetime | None = None
    """When an agent that sends no heartbeats last joined a call."""
    rejected_at: datetime | None = None
    """When the last one was refused."""
    rejection: str | None = Field(default=None, max_length=500)
    """Why it was refused."""
    rejection_cure: str | None = Field(default=None, max_length=500)
