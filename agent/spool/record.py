"""What the spool keeps: records, and where to deliver them."""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator


class Target(BaseModel):
    """Where the records of an entry are delivered to."""

    callback_url: str
    callback_token: str = Field(repr=False)
    org: str
    session_id: str
    attempt: int
    job_id: str

    def entry_name(self) -> str:
        """Name of the entry's directory: unique per attempt and job, of bounded length."""
        job = hashlib.sha256(self.job_id.encode()).hexdigest()[:16]
        return f"{session_prefix(self.org, self.session_id)}{self.attempt}-{job}"


def session_prefix(org: str, session_id: str) -> str:
    """What the names of all entries of a session begin with."""
    return hashlib.sha256(f"{org}/{session_id}".encode()).hexdigest()[:16] + "-"


class RecordKind(StrEnum):
    """What a record is; decides the route of its delivery."""

    TURN = "turn"
    REPORT = "report"


class Record(BaseModel):
    """One line of the records file."""

    kind: RecordKind
    body: dict[str, Any]

    @classmethod
    def parse(cls, line: bytes) -> "Record | None":
        """The record of a line; None if it is unreadable, for instance a newer version's."""
        try:
            return cls.model_validate_json(line)
        except ValidationError:
            return None

    @field_validator("body", mode="before")
    @classmethod
    def _writable(cls, body: Any) -> Any:
        """Make it valid JSON: a lone surrogate or NaN would block all later records."""
        written = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        return json.loads(written, parse_constant=lambda _: None)


@dataclass
class Pending:
    """An undelivered record."""

    record: Record
    end: int | None = None
    """Offset of its end in the records file, bytes: 0 if it was set aside instead, None while only
    memory holds it."""
    sendable: bool = False
    """Whether the disk has accepted it, or had its time to."""
