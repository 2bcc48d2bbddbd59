"""One request to a customer's receiver: bounded, and its failure in a sentence of our own."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from adapters.http.webhook_sender import HttpWebhookSender
from domain.webhooks.deliveries import SendAnswer
from domain.webhooks.signatures import new_secret, signed_headers
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from tests.servers import free_port

BODY = b'{"type":"webhook.test","timestamp":"2026-03-01T12:00:00+00:00","data":{}}'


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture
async def sender() -> AsyncGenerator[HttpWebhookSender]:
    async with HttpWebhookSender(allow_private=True, seconds=30) as sender:
        yield sender


async def sent(sender: HttpWebhookSender, url: str) -> SendAnswer:
    headers = signed_headers("evt_1", datetime.now(UTC), BODY, [new_secret()])
    return await sender.send(url, headers, BODY)


async def test_what_is_sent(sender: HttpWebhookSender, receiver: Receiver) -> None:
    secrets = [new_secret(), new_secret()]
    headers = signed_headers("evt_1", datetime.now(UTC), BODY, secrets)
    answer = await sender.send(f"{receiver.url}/ok?tenant=7", headers, BODY)
    assert (answer.status_code, answer.reason, answer.final) == (204, None, False)
    [came] = receiver.requests
    assert came.body == BODY
    assert came.headers["content-type"] == "application/json"
    assert came.headers["user-agent"].startswith("Everline")
    assert came.verified(*secrets)["type"] == "webhook.test"


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("down", 500, "the receiver answered 500"),
        ("redirect", 302, "the receiver redirects (302), which is not followed"),
        ("gone", 410, "the receiver answered 410"),
    ],
)
async def test_what_an_answer_means(
    sender: HttpWebhookSender, receiver: Receiver, path: str, status: int, reason: str
) -> None:
    answer = await sent(sender, f"{receiver.url}/{path}")
    assert (answer.status_code, answer.reason, answer.final) == (status, reason, False)


async def test_no_connection_and_no_name(sender: HttpWebhookSender) -> None:
    refused = await sent(sender, f"http://127.0.0.1:{free_port()}/secret-path")
    assert refused.reason
    assert refused.reason.startswith("no connection")
    assert "secret-path" not in refused.reason
    async with HttpWebhookSender(allow_private=True, seconds=30, resolve=_nobody) as lost:
        unknown = await sent(lost, "http://nobody.example.com/secret-path")
    assert unknown.reason
    assert unknown.reason.startswith("no connection")
    assert not unknown.final


async def _nobody(host: str, port: int) -> list[str]:
    raise OSError("no such host")


async def test_the_time_limit_holds_from_the_look_up_on(receiver: Receiver) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(600)
        return ["127.0.0.1"]

    for resolve, path in ((never, "ok"), (None, "hang")):
        async with HttpWebhookSender(allow_private=True, seconds=0.3, resolve=resolve) as impatient:
            answer = await sent(impatient, f"{receiver.url}/{path}")
        assert answer.reason == "no answer within 0.3 s"
        assert answer.status_code is None
        assert answer.duration_ms >= 290


async def test_an_endless_answer_is_not_read_to_its_end(sender: HttpWebhookSender) -> None:
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while written < 2**30:
            await response.write(b"x" * 65_536)
            written += 65_536
        return response

    app = web.Application()
    app.router.add_post("/", endless)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        answer = await sent(sender, f"http://127.0.0.1:{port}/")
    finally:
        await runner.cleanup()
    assert (answer.status_code, answer.reason) == (200, None)
    assert written < 2**28


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("120", 120, 120),
        (timedelta(hours=1), 3_000, 3_600),
        (timedelta(hours=-1), 0, 0),
        ("soon", None, None),
        ("-5", None, None),
    ],
    ids=["seconds", "a time", "a time that has passed", "a word", "a negative number"],
)
async def test_how_long_a_receiver_asks_to_be_left_alone(
    sender: HttpWebhookSender, header: str | timedelta, least: float | None, most: float | None
) -> None:
    if isinstance(header, timedelta):
        # Made now: the parameters are made when the tests are collected, minutes earlier.
        header = format_datetime(datetime.now(UTC) + header, usegmt=True)
    headers = {"retry-after": header}

    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=503, headers=headers)

    app = web.Application()
    app.router.add_post("/", busy)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        answer = await sent(sender, f"http://127.0.0.1:{port}/")
    finally:
        await runner.cleanup()
    if least is None or most is None:
        assert answer.retry_after is None
    else:
        assert answer.retry_after is not None
        assert least <= answer.retry_after <= most


async def test_a_forbidden_address_is_final(receiver: Receiver) -> None:
    async with HttpWebhookSender(allow_private=False) as strict:
        answer = await sent(strict, receiver.url.replace("http:", "https:"))
    assert answer.final
    assert answer.reason == (
        "its host name leads to an address that is not public; give a public host, or for"
        " development set EVERLINE_WEBHOOKS_ALLOW_PRIVATE=true"
    )
    assert receiver.requests == []
