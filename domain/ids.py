"""Ids and names, and the composition of workflow ids and room names.

Ids and names are `[A-Za-z0-9_-]{1,128}`, so that `/` and `.` can join them without escaping.
"""

import hashlib
import re
import unicodedata
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, StringConstraints

from domain.errors import InvalidInput

ID_PATTERN = r"^[A-Za-z0-9_-]{1,128}$"
ID_CURE = "use 1 to 128 of the characters A-Z a-z 0-9 _ -"
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control, formatting and separating characters."""
_JOINERS = "\u200c\u200d"
"""Formatting characters that words of some languages need."""
_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")

OWN_IDENTITY_PREFIX = "everline-"
"""Prefix of the identities under which Everline itself joins a room."""
AGENT_IDENTITY_PREFIX = "agent-AJ_"
"""Prefix of the identities that LiveKit's SDKs give their agents: `agent-` and the job's id."""

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""An id or a name in URLs, workflow ids and room names."""

GivenRoomName = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9_-]{1,128}\.)?[A-Za-z0-9_-]{1,128}$")
]
"""A room name from a client: the org's own name, or LiveKit's, which contains the org."""


def _no_invisible_text(text: str) -> str:
    for mark in text:
        if unicodedata.category(mark) in _INVISIBLE and mark not in _JOINERS:
            raise ValueError(
                f"must not contain control or invisible characters; U+{ord(mark):04X} is one"
            )
    return text


Identity = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_no_invisible_text)
]
"""The name of a participant or user: any text that people can see."""


class SessionKey(NamedTuple):
    """What identifies a session: `sessionId` is unique within its org."""

    org: str
    session_id: str


def check_id(value: str, field: str) -> str:
    """Return `value` if it is a well-formed id.

    Raises:
        InvalidInput: naming `field` and the allowed form.
    """
    if _ID.match(value):
        return value
    raise InvalidInput(
        f"{field} has invalid characters or an invalid length",
        field=field,
        cure=ID_CURE,
    )


def check_caller_identity(value: str, field: str) -> str:
    """Return `value` if a caller may have this identity in a room.

    Whoever joins under an identity that is in the room takes its place, so a caller could evict
    the agent or the listener.

    Raises:
        InvalidInput: the identity is reserved.
    """
    if not value.startswith((OWN_IDENTITY_PREFIX, AGENT_IDENTITY_PREFIX)):
        return value
    raise InvalidInput(
        f"{field} is reserved for agents and for Everline itself",
        field=field,
        cure=f"use one that begins with neither {OWN_IDENTITY_PREFIX} nor {AGENT_IDENTITY_PREFIX}",
    )


def session_workflow_id(key: SessionKey) -> str:
    """Workflow id of a session: `session/{org}/{session_id}`."""
    return f"session/{key.org}/{key.session_id}"


def archive_workflow_id(key: SessionKey) -> str:
    """Workflow id of the child that archives after an outage: `archive/{org}/{session_id}`."""
    return f"archive/{key.org}/{key.session_id}"


def summary_workflow_id(key: SessionKey) -> str:
    """Workflow id of the one writer of a session's summary: `summary/{org}/{session_id}`."""
    return f"summary/{key.org}/{key.session_id}"


def webhook_workflow_id(org: str, delivery_id: str) -> str:
    """Workflow id of a webhook delivery: `webhook/{org}/{delivery_id}`."""
    return f"webhook/{org}/{delivery_id}"


def key_of_workflow_id(workflow_id: str) -> SessionKey | None:
    """The session of a session workflow's id; None for any other id."""
    kind, _, rest = workflow_id.partition("/")
    org, _, session_id = rest.partition("/")
    if kind == "session" and _ID.match(org) and _ID.match(session_id):
        return SessionKey(org, session_id)
    return None


def livekit_room_name(org: str, room_name: str) -> str:
    """LiveKit's name of a room: `{org}.{roomName}`, so that two orgs never share a room."""
    return f"{org}.{room_name}"


def org_of_room(livekit_room: str) -> str | None:
    """The org in LiveKit's name of a room; None if the name is not one of ours."""
    org, dot, name = livekit_room.partition(".")
    return org if dot and _ID.match(org) and _ID.match(name) else None


def local_room_name(org: str, given: str) -> str:
    """The org's own name of a room, from either form of `GivenRoomName`."""
    return given.removeprefix(f"{org}.")


def session_id_of_idempotency_key(org: str, idempotency_key: str) -> str:
    """Session id of an `Idempotency-Key`, so that Temporal itself deduplicates starts."""
    digest = hashlib.sha256(f"{org}\n{idempotency_key}".encode()).hexdigest()
    return f"idem-{digest[:40]}"
