"""Versions over HTTP: the ETag of an agent, and `If-Match`."""

import re
from typing import Annotated

from fastapi import Depends, Header

from domain.errors import InvalidInput, PreconditionFailed

_IF_MATCH = r'^(\*|(W/)?"[1-9][0-9]{0,8}")$'
_ENTITY_TAG = re.compile(r'\s*(W/)?"([1-9][0-9]{0,8})"\s*')


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


IfMatch = Annotated[
    str | None,
    Header(
        description="the ETag of your last GET; 412 if the agent was changed since then",
        # Checked below, with an error that says what to send.
        json_schema_extra={"pattern": _IF_MATCH},
    ),
]


def expected_version(if_match: IfMatch = None) -> int | None:
    """The version that `If-Match` names; None if there is no such header, or it is `*`.

    Raises:
        InvalidInput: it is not the ETag of an agent.
        PreconditionFailed: it is a weak ETag, which never matches.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ENTITY_TAG.fullmatch(if_match)
    if found is None:
        raise InvalidInput(
            "If-Match is not the ETag of an agent",
            field="If-Match",
            cure='send the ETag of your last GET, for instance "3"',
        )
    if found[1]:
        raise PreconditionFailed("a weak ETag never matches", field="If-Match")
    return int(found[2])


ExpectedVersion = Annotated[int | None, Depends(expected_version)]
