"""How long transcripts are kept, and the audit log."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.answers import RequestBody
from api.dependencies import Client, Deps, Limit, next_page, records_of
from api.routing import Router
from domain.access.audit import AuditAction, AuditPage
from domain.transcripts.retention import MAX_DAYS, RetentionRule

router = Router(prefix="/v1", tags=["transcripts"])


class RetentionBody(RequestBody):
    """Body of `PUT /v1/retention`."""

    transcript_days: int | None = Field(
        ge=0,
        le=MAX_DAYS,
        description="days after the call's end; 0 keeps for ever, null is the default",
    )


class RetentionAnswer(BaseModel):
    """How long the org's transcripts are kept."""

    transcript_days: int = Field(description="days after the call's end; 0 keeps for ever")
    source: Literal["org", "default"] = Field(description="who set it")
    default_days: int = Field(description="of this installation")
    updated_at: datetime | None
    updated_by: str | None


@router.get("/retention")
async def get_retention(deps: Deps, client: Client) -> RetentionAnswer:
    """Get how long the org's transcripts are kept."""
    retention = records_of(deps).retention
    return _answer(await retention.rule(client.org), retention.default_days)


@router.put("/retention")
async def put_retention(body: RetentionBody, deps: Deps, client: Client) -> RetentionAnswer:
    """Set how long transcripts are kept. The next daily run permanently deletes older ones."""
    retention = records_of(deps).retention
    rule = await retention.choose(client, body.transcript_days, datetime.now(UTC))
    return _answer(rule, retention.default_days)


@router.get("/audit")
async def list_audit(
    deps: Deps,
    client: Client,
    action: AuditAction | None = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, next_page(500)] = None,
) -> AuditPage:
    """List who deleted what and when, newest first."""
    return await records_of(deps).audit.page(client.org, action, limit, cursor)


def _answer(rule: RetentionRule, default_days: int) -> RetentionAnswer:
    return RetentionAnswer(
        transcript_days=default_days if rule.days is None else rule.days,
        source="default" if rule.days is None else "org",
        default_days=default_days,
        updated_at=rule.updated_at,
        updated_by=rule.updated_by,
    )
