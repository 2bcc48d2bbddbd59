"""Analyses of calls: the plan in an agent's configuration, and the findings.

The plan is for the operators and the worker; it never reaches the agent itself.
"""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from domain.agents.config_base import ConfigModel
from domain.agents.schema_references import check_object_schema, subschemas
from domain.ids import Id
from domain.json_model import or_else

MAX_SCHEMA_CHARS = 16_384
MAX_CRITERIA = 20
_COSTLY = ("$ref", "$dynamicRef", "pattern", "patternProperties")
"""Keywords that can make validation by a short schema arbitrarily slow."""


def _data_schema(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        check_object_schema(schema, MAX_SCHEMA_CHARS)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    parts = list(subschemas(schema))
    for keyword in _COSTLY:
        if any(keyword in part for part, _ in parts):
            raise ValueError(
                f"must not use {keyword}: write the part out, or describe it in a description"
            )
    return schema


class Criterion(ConfigModel):
    """A criterion of a successful call."""

    id: Id
    description: str = Field(min_length=1, max_length=1_000)


class AnalysisPlan(ConfigModel):
    """How to analyse a call, in addition to its summary; everything is optional."""

    summary_prompt: str | None = Field(default=None, min_length=1, max_length=4_000)
    """The summary's focus, audience and form."""
    data_schema: Annotated[dict[str, Any], AfterValidator(_data_schema)] | None = None
    """JSON Schema (2020-12) of the object to extract, without references and patterns."""
    success_criteria: list[Criterion] = Field(default=[], max_length=MAX_CRITERIA)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [criterion.id for criterion in self.success_criteria]
        if len(set(ids)) < len(ids):
            raise ValueError("two of the success_criteria have the same id")
        return self

    @property
    def asks(self) -> bool:
        """Whether the plan asks for more than a summary."""
        return self.data_schema is not None or bool(self.success_criteria)


class AnalysisStatus(StrEnum):
    """The state of an analysis."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    """No analyst is configured, or there is nothing to analyse."""


class Verdict(StrEnum):
    """Whether a call fulfils a criterion."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


class CriterionResult(BaseModel):
    """The verdict on one criterion."""

    id: str
    result: Annotated[Verdict, or_else(Verdict.UNKNOWN)]
    rationale: str


class Findings(BaseModel):
    """Findings in a transcript; they match the plan, but their content is untrusted."""

    data: dict[str, Any] | None = None
    criteria: list[CriterionResult] = []

    @property
    def success(self) -> bool | None:
        """True if all criteria are fulfilled, False if one is not; None if unknown."""
        results = {criterion.result for criterion in self.criteria}
        if Verdict.FAILURE in results:
            return False
        return True if results == {Verdict.SUCCESS} else None


class Analysis(BaseModel):
    """The analysis of a call by its agent's plan."""

    status: Annotated[AnalysisStatus, or_else(AnalysisStatus.UNAVAILABLE)]
    reason: str | None = None
    """Why it failed or is unavailable; None otherwise."""
    data: dict[str, Any] | None = None
    """The extracted data; it matches the plan's schema."""
    criteria: list[CriterionResult] = []
    success: bool | None = None
    """Whether all criteria are fulfilled; None without criteria, or if one is unknown."""
    attempts: int = 0
