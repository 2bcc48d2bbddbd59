"""A body sets what its route offers, and nothing that the server decides."""

import re
from typing import Any

from tests.api.access.test_tenancy import example, operations
from tests.api.house import House, Tenant, unique

DECIDED_BY_THE_SERVER = (
    *("org", "org_id", "orgId", "is_admin", "isAdmin", "scopes", "role", "key_hash"),
    *("version", "created_by", "createdBy", "updated_at", "owner", "state", "outcome"),
    *("livekit_room", "agent_version", "slot", "place", "request_digest", "__proto__", "_id"),
)
JSON = dict[str, Any]


async def test_no_body_sets_what_the_server_decides(house: House) -> None:
    """Each field that a body does not offer is refused by its name, in every route."""
    async with house.open() as app:
        tenant = Tenant(app, await house.key(unique("acme"), scopes=("read", "write", "keys")))
        tried = 0
        for operation in operations(app):
            if operation.body is None or operation.method == "DELETE":
                continue
            offered = operation.body.get("properties", {})
            path = re.sub(r"{.*?}", "any", operation.path)
            body: JSON = example(operation.body)
            for name in DECIDED_BY_THE_SERVER:
                if name in offered or not offered:
                    continue
                answer = await tenant.http.request(operation.method, path, json=body | {name: "x"})
                assert answer.status_code == 422, f"{operation.name} {name}: {answer.text}"
                fields = [fault["field"] for fault in answer.json()["errors"]]
                assert name in fields, f"{operation.name} {name}: {fields}"
                tried += 1
    assert tried > 100
