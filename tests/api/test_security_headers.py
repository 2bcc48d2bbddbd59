"""Headers that tell browsers how little to do with an answer, and none that tell what runs here."""

import base64
import hashlib
import re

import pytest

from api.middleware import SECURITY_HEADERS
from tests.api.door import Door


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/sessions/none", 404),
        ("GET", "/nothing", 404),
        ("PATCH", "/health", 405),
        ("POST", "/session", 422),
        ("OPTIONS", "/session", 405),
    ],
)
async def test_every_answer_tells_browsers_to_trust_it_little(
    door: Door, method: str, path: str, status: int
) -> None:
    answer = await door.http.request(method, path)

    assert answer.status_code == status, answer.text
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value, name
    assert not answer.headers.keys() & {"server", "x-powered-by"}


async def test_the_documentation_page_runs_its_own_scripts_alone(keyless: Door) -> None:
    answer = await keyless.http.get("/docs")

    policy = answer.headers["content-security-policy"]
    [script] = re.findall(r"script-src ([^;]*)", policy)
    [inline] = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert script == f"'self' 'sha256-{digest}'"
    assert "frame-ancestors 'none'" in policy
    # Scripts in attributes would need more.
    assert not re.search(r"\son\w+=", answer.text)
