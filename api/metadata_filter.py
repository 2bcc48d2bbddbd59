"""The query parameters `metadata[key]=value` by which lists are filtered."""

import re
from typing import Annotated, Any

from fastapi import Depends, Request

from api.dependencies import Client
from domain.errors import InvalidInput
from domain.ids import check_id
from domain.sessions.metadata import MAX_KEYS

_CURE = "name a key and its value, for example metadata[order]=42"
_ENTRY = re.compile(r"metadata\[(.*)\]", re.DOTALL)

METADATA_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "required": False,
            "style": "deepObject",
            "explode": True,
            "description": "entries that a session must all have: `metadata[order]=42`",
            "schema": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "maxProperties": MAX_KEYS,
            },
        }
    ]
}
"""`openapi_extra` of a route with this filter, which FastAPI itself cannot describe."""


def _metadata_filter(request: Request, client: Client) -> dict[str, str]:
    """The entries that a listed session must have.

    Depends on the client, so that nobody without a key learns of a mistake.

    Raises:
        InvalidInput: naming the parameter.
    """
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name.partition("[")[0] != "metadata":
            continue
        entry = _ENTRY.fullmatch(name)
        if entry is None:
            raise InvalidInput("metadata has no key", field=name, cure=_CURE)
        key = check_id(entry[1], name)
        if wanted.setdefault(key, value) != value:
            raise InvalidInput(f"{name} has two values", field=name, cure="send one of them")
    if len(wanted) > MAX_KEYS:
        raise InvalidInput(
            f"metadata has {len(wanted)} keys", field="metadata", cure=f"send up to {MAX_KEYS}"
        )
    return wanted


MetadataFilter = Annotated[dict[str, str], Depends(_metadata_filter)]
