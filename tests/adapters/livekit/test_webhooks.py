"""Webhooks and heartbeats are believed only if the right key signed exactly this body, recently."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from adapters.livekit.rooms import LiveKitRooms
from adapters.livekit.signatures import HEARTBEAT, WEBHOOK, sign_body, verify_body
from adapters.livekit.webhooks import MAX_AGE, receive_webhook
from domain.clocks import CLOCK_CURE
from domain.errors import InvalidInput, Unauthenticated
from tests.servers import free_port, start_livekit

KEYS = {"LK": "livekits-secret-of-at-least-32-characters", "OWN": "o" * 40}
NOW = datetime.now(UTC).replace(microsecond=0)


def event(**fields: Any) -> bytes:
    given: dict[str, Any] = {
        "event": "participant_left",
        "id": "EV_1",
        "createdAt": str(int(NOW.timestamp())),
        "room": {"name": "acme.room", "sid": "RM_1", "metadata": '{"org": "acme"}'},
        "participant": {
            "identity": "caller-1",
            "sid": "PA_1",
            "kind": "STANDARD",
            "attributes": {"a": "b"},
            "disconnectReason": "CLIENT_INITIATED",
        },
        "aFieldOfTomorrow": {"x": 1},
    }
    return json.dumps(given | fields).encode()


def signed(body: bytes, key: str = "LK", **claims: Any) -> str:
    """A signature as LiveKit makes it, with claims changed for a test."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    # Signed when the tests are collected, and verified by the clock of a much later moment.
    expires = int(NOW.timestamp()) + 86_400
    return token({"iss": key, "exp": expires, "sha256": digest} | claims, key)


def token(claims: dict[str, Any], key: str, algorithm: str = "HS256") -> str:
    """A JWT made by hand, because a library refuses to make the odd ones."""
    parts = [base64url(json.dumps(part).encode()) for part in ({"alg": algorithm}, claims)]
    signature = hmac.digest(KEYS[key].encode(), ".".join(parts).encode(), "sha256")
    return ".".join([*parts, base64url(signature) if algorithm == "HS256" else ""])


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_signed_event_is_read() -> None:
    body = event()

    read = receive_webhook(KEYS, signed(body), body, NOW)

    assert (read.id, read.event, read.created_at) == ("EV_1", "participant_left", NOW)
    assert (read.room, read.room_sid) == ("acme.room", "RM_1")
    assert read.room_metadata == '{"org": "acme"}'
    assert (read.identity, read.participant_sid) == ("caller-1", "PA_1")
    assert (read.participant_kind, read.disconnect_reason) == ("standard", "client_initiated")
    assert read.participant_attributes == {"a": "b"}


def test_an_event_without_a_participant_has_none() -> None:
    body = event(event="room_finished", participant=None)

    read = receive_webhook(KEYS, f"Bearer {signed(body, 'OWN')}", body, NOW)

    assert (read.event, read.identity, read.participant_kind) == ("room_finished", None, None)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("", "not signed"),
        ("nonsense", "not valid"),
        (signed(event(), exp=1), "clock is .* days behind"),
        (signed(event(), nbf=int(NOW.timestamp()) + 600), "clock is 10 min ahead"),
        (signed(event(), nbf=-600, exp=-300), "clock is .* days behind"),
        (signed(event(), nbf="soon"), "not valid"),
        (signed(event(), iss="STRANGER"), "not known"),
        (signed(event(), iss=["LK"]), "not known|not valid"),
        (signed(event(), iss="OWN"), "not valid"),
        (signed(event(), sha256=None), "another body"),
        (signed(event(), sha256=7), "another body"),
        (signed(event(id="EV_2")), "another body"),
        (signed(event(), metadata=HEARTBEAT), "something else"),
        (token({"iss": "LK", "sha256": "x"}, "LK"), "not valid"),
        (token({"iss": "LK", "exp": 2**40}, "LK", "none"), "not valid"),
        (token({"iss": "LK", "exp": "soon"}, "LK"), "not valid"),
    ],
)
def test_a_forged_or_foreign_signature_is_refused(authorization: str, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason) as refused:
        receive_webhook(KEYS, authorization, event(), NOW)
    assert refused.value.field == "Authorization"


def test_a_body_changed_by_one_byte_is_refused() -> None:
    body = event()
    with pytest.raises(Unauthenticated, match="another body"):
        receive_webhook(KEYS, signed(body), body + b" ", NOW)


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (MAX_AGE + timedelta(seconds=1), "LiveKit's clock is 5 min behind"),
        (timedelta(hours=12), "LiveKit's clock is 12 h behind"),
        (timedelta(seconds=-61), "LiveKit's clock is 61 s ahead"),
    ],
)
def test_an_old_or_future_event_is_refused_though_it_is_signed(age: timedelta, reason: str) -> None:
    body = event()
    with pytest.raises(Unauthenticated, match=reason) as refused:
        receive_webhook(KEYS, signed(body), body, NOW + age)
    assert refused.value.field == "createdAt"
    assert refused.value.cure == CLOCK_CURE


def test_an_event_just_within_the_limit_is_taken() -> None:
    body = event()
    assert receive_webhook(KEYS, signed(body), body, NOW + MAX_AGE).id == "EV_1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"event": 7}',
        b"\xff\xfe",
        b'{"server_id": "heartbeat"}',
        event(id=""),
        event(createdAt=str(2**60)),
        b'{"a":' * 5_000,
    ],
)
def test_a_signed_body_that_is_no_event_is_invalid_rather_than_a_crash(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        receive_webhook(KEYS, signed(body), body, NOW)


def test_a_heartbeat_is_signed_and_verified_for_its_purpose_alone() -> None:
    body = b'{"server_id": "a"}'
    signature = sign_body("LK", KEYS["LK"], body, HEARTBEAT)

    assert verify_body(KEYS, f"Bearer {signature}", body, HEARTBEAT) == "LK"
    with pytest.raises(Unauthenticated, match="something else"):
        verify_body(KEYS, signature, body, WEBHOOK)
    with pytest.raises(Unauthenticated, match="another body"):
        verify_body(KEYS, signature, b"{}", HEARTBEAT)
    with pytest.raises(Unauthenticated, match="something else"):
        verify_body(KEYS, signed(body), body, HEARTBEAT)


async def test_livekits_own_webhooks_are_understood() -> None:
    received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        await received.put((request.headers["Authorization"], await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with start_livekit(f"http://127.0.0.1:{port}/hook") as server:
            keys = {server.api_key: server.api_secret}
            async with LiveKitRooms(server.url, server.api_key, server.api_secret) as rooms:
                room = await rooms.create("acme.room", '{"org": "acme"}', 60, 60)
                await rooms.delete("acme.room")
            read = [
                receive_webhook(
                    keys, *await asyncio.wait_for(received.get(), 60), datetime.now(UTC)
                )
                for _ in range(2)
            ]
    finally:
        await runner.cleanup()

    assert [one.event for one in read] == ["room_started", "room_finished"]
    assert {one.room_sid for one in read} == {room.sid}
    assert {one.room_metadata for one in read} == {'{"org": "acme"}'}
    assert len({one.id for one in read}) == 2
