"""How long transcripts are kept, and the audit log."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.dependencies import Client, Deps, records_of
from domain.access.audit import AuditAction, AuditPage
from domain.json_model import JsonModel
from domain.transcripts.retention import MAX_DAYS, RetentionRule

router = APIRouter(prefix="/v1", tags=["transcripts"])


class RetentionBody(JsonModel):
    """Body of `PUT /v1/retention`."""

    model_config = ConfigDict(extra="forbid")

    transcript_days: int | None = Field(
        ge=0,
        le=MAX_DAYS,
        description="days after the call's end; 0 keeps for ever, null is the default",
    )


class RetentionAnswer(BaseModel):
    """How long the org's transcripts are kept."""

    transcript_days: int = Field(description="days after the call's end; 0 keeps for ever")
    source: Literal["org", "default"] = Field(description="who chose it")
    default_days: int = Field(description="of this installation")
    updated_at: datetime | None
    updated_by: str | None


@router.get("/retention")
async def get_retention(deps: Deps, client: Client) -> RetentionAnswer:
    """How long the org's transcripts are kept."""
    retention = records_of(deps).retention
    return _answer(await retention.rule(client.org), retention.default_days)


@router.put("/retention")
async def put_retention(body: RetentionBody, deps: Deps, client: Client) -> RetentionAnswer:
    """Choose how long; what is older is deleted by the next daily run, for good."""
    retention = records_of(deps).retention
    rule = await retention.choose(client, body.transcript_days, datetime.now(UTC))
    return _answer(rule, retention.default_days)


@router.get("/audit")
async def list_audit(
    deps: Deps,
    client: Client,
    action: AuditAction | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=500, description="`next` of the page before")
    ] = None,
) -> AuditPage:
    """Who deleted what, and when: the newest first."""
    return await records_of(deps).audit.page(client.org, action, limit, cursor)


def _answer(rule: RetentionRule, default_days: int) -> RetentionAnswer:
    return RetentionAnswer(
        transcript_days=default_days if rule.days is None else rule.days,
        source="default" if rule.days is None else "org",
        default_days=default_days,
        updated_at=rule.updated_at,
        updated_by=rule.updated_by,
    )
