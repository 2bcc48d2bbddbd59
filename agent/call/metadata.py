"""Reading the dispatch metadata of a job."""

import json
from typing import Any, cast

from livekit.protocol.agent import Job
from pydantic import ValidationError

from domain.agents.servers import JobRef
from domain.json_model import FROM_ANOTHER_VERSION
from domain.sessions.dispatch_metadata import DispatchMetadata, EverlineMetadata


class MetadataFault(Exception):
    """The metadata is invalid.

    Attributes:
        everline: its `everline` part if that is readable, for reporting the failure.
    """

    def __init__(self, message: str, everline: EverlineMetadata | None) -> None:
        super().__init__(message)
        self.everline = everline


def read_metadata(text: str, room_name: str) -> DispatchMetadata:
    """The metadata of a job; empty metadata makes a plain agent with the defaults.

    Raises:
        MetadataFault: names the invalid fields, without their values.
    """
    if not text.strip():
        return DispatchMetadata(session_id=room_name)
    try:
        return DispatchMetadata.model_validate_json(text, context=FROM_ANOTHER_VERSION)
    except ValidationError as error:
        # Without the input, which holds the callback token and the caller's words.
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        details = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'metadata'}: {fault['msg']}"
            for fault in faults[:5]
        )
        message = f"the dispatch metadata is not valid: {details}"
        raise MetadataFault(message, _everline_part(text)) from None


def job_ref(job: Job) -> JobRef:
    """Which session and attempt a job's metadata names, if it is Everline's.

    Reads only these fields, so that a dead agent is reported even if the rest is invalid or newer.
    """
    everline, session_id = _everline_part(job.metadata), _fields(job.metadata).get("session_id")
    return JobRef(
        job_id=job.id,
        org=everline.org if everline else None,
        session_id=session_id if isinstance(session_id, str) else None,
        attempt=everline.attempt if everline else None,
    )


def _everline_part(text: str) -> EverlineMetadata | None:
    try:
        part = _fields(text)["everline"]
        return EverlineMetadata.model_validate(part, context=FROM_ANOTHER_VERSION)
    except (ValueError, LookupError):
        return None


def _fields(text: str) -> dict[str, Any]:
    try:
        raw: Any = json.loads(text)
    except ValueError:
        return {}
    return cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
