"""The codec endpoint as the Temporal UI in a browser meets it: through the whole app."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from temporalio.api.common.v1 import Payload

from adapters.temporal.encryption import EncryptionCodec
from api.app import create_app
from api.cors import Origins
from api.routes.codec import codec_router
from tests.api.door import Door, is_problem

UI = "https://temporal.acme.test"
SECRET = "the-secret-of-the-codec-endpoint"
CODEC = EncryptionCodec({"k1": b"1" * 32})
PRODUCTION, DEVELOPMENT = Origins(("https://app.acme.test",)), Origins(localhost=True)
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"said"')


@asynccontextmanager
async def opened(door: Door, origins: Origins) -> AsyncGenerator[httpx.AsyncClient]:
    """The API with its codec endpoint, as the composition root wires it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield

    app = create_app(
        door.deps,
        lifespan,
        [codec_router(CODEC, SECRET, UI)],
        origins=origins,
        development=origins.localhost,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api.test", headers={"origin": UI}
    ) as http:
        yield http


def body(*payloads: Payload) -> str:
    """Temporal's JSON of payloads."""

    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    listed = [
        {"metadata": {k: text(v) for k, v in one.metadata.items()}, "data": text(one.data)}
        for one in payloads
    ]
    return json.dumps({"payloads": listed})


@pytest.mark.parametrize("origins", [PRODUCTION, DEVELOPMENT], ids=["production", "development"])
async def test_the_uis_browser_is_let_through_to_it(door: Door, origins: Origins) -> None:
    [sealed] = await CODEC.encode([PLAIN])
    preflight = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-namespace",
        "access-control-request-private-network": "true",
    }
    async with opened(door, origins) as http:
        asked = await http.options(f"/codec/{SECRET}/decode", headers=preflight)
        decoded = await http.post(
            f"/codec/{SECRET}/decode", content=body(sealed), headers={"x-namespace": "default"}
        )
        elsewhere = await http.options("/v1/sessions", headers=preflight)

    assert asked.status_code == 200
    assert "x-namespace" in asked.headers["access-control-allow-headers"]
    assert asked.headers["access-control-allow-private-network"] == "true"
    for answer in (asked, decoded):
        assert answer.headers.get_list("access-control-allow-origin") == [UI]
        assert answer.headers["access-control-allow-credentials"] == "true"
    assert decoded.json() == json.loads(body(PLAIN))
    assert is_problem(elsewhere, 403, "cors_refused"), "the UI's origin opens the codec alone"


async def test_what_cannot_be_decrypted_is_told_to_the_ui(door: Door) -> None:
    [sealed] = await CODEC.encode([PLAIN])
    altered = Payload(metadata=dict(sealed.metadata), data=sealed.data[:-1])
    [unknown] = await EncryptionCodec({"k9": b"9" * 32}).encode([PLAIN])
    async with opened(door, PRODUCTION) as http:
        answers = [
            await http.post(f"/codec/{SECRET}/decode", content=content)
            for content in (body(sealed, altered), body(unknown), "{nonsense")
        ]

    for answer in answers:
        assert is_problem(answer, 422, "invalid_input")
        [fault] = answer.json()["errors"]
        assert fault["field"] == "payloads"
        assert fault["cure"]
        assert answer.headers["access-control-allow-origin"] == UI
    assert "'k9'" in answers[1].text
    assert "EVERLINE_ENCRYPTION_KEYS" in answers[1].text


async def test_whoever_does_not_know_the_secret_learns_nothing(door: Door) -> None:
    async with opened(door, PRODUCTION) as http:
        answer = await http.post("/codec/guessed/decode", content=body(PLAIN))

    assert is_problem(answer, 404, "not_found")
    assert "access-control-allow-origin" not in answer.headers
