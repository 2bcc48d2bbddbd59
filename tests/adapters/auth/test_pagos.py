"""Pagos over HTTP: an outage is an outage, never a yes and never a no."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.auth.key_cache import KeyCache, Known
from adapters.auth.pagos import Pagos, PagosUnavailable
from adapters.http.circuit import CircuitBreaker
from adapters.settings import ApiSettings, PagosSettings, SettingsError, load
from domain.access.principal import Principal
from tests.fakes.pagos import ADMIN_TOKEN, FakePagos
from tests.waiting import eventually

KEY = "pk_annas-key"
ANNA = {"orgId": "acme", "userId": "anna", "isAdmin": False}
PRINCIPAL = Principal(org="acme", user_id="anna", is_admin=False)


@pytest.fixture
async def fake() -> AsyncGenerator[FakePagos]:
    async with FakePagos(accounts={KEY: dict(ANNA)}) as fake:
        yield fake


@asynccontextmanager
async def pagos_at(
    fake: FakePagos, clock: Callable[[], float] = time.monotonic, **further: Any
) -> AsyncGenerator[Pagos]:
    # Patient: a slow moment of this machine is no outage.
    pagos = Pagos(fake.settings(**{"pagos_timeout_seconds": 30} | further), clock)
    try:
        yield pagos
    finally:
        await pagos.aclose()


async def refusal(pagos: Pagos, key: str = KEY) -> PagosUnavailable:
    with pytest.raises(PagosUnavailable) as caught:
        await pagos.resolve(key)
    return caught.value


async def let_in(pagos: Pagos) -> Principal | None:
    """The first answer after outages."""
    found: list[Principal | None] = []

    async def answered() -> bool:
        try:
            found.append(await pagos.resolve(KEY))
        except PagosUnavailable:
            return False
        return True

    await eventually(answered)
    [principal] = found
    return principal


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_valid_key_is_whom_pagos_says(fake: FakePagos) -> None:
    async with pagos_at(fake) as pagos:
        assert await pagos.resolve(KEY) == PRINCIPAL

    [asked] = fake.asked
    assert (asked.method, asked.path) == ("GET", "/api-keys/resolve")
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["authorization"] == f"Bearer {ADMIN_TOKEN}"


@pytest.mark.parametrize(
    ("account", "principal"),
    [
        ({"orgId": "acme"}, Principal(org="acme")),
        ({"orgId": "acme", "userId": 17}, Principal(org="acme", user_id="17")),
        ({**ANNA, "isAdmin": True}, Principal(org="acme", user_id="anna", is_admin=True)),
        ({**ANNA, "more": {"of": "this"}}, PRINCIPAL),
    ],
)
async def test_what_is_optional_may_be_missing(
    fake: FakePagos, account: dict[str, Any], principal: Principal
) -> None:
    fake.accounts[KEY] = account
    async with pagos_at(fake) as pagos:
        assert await pagos.resolve(KEY) == principal


@pytest.mark.parametrize("status", [401, 404])
async def test_an_unknown_key_is_nobody(fake: FakePagos, status: int) -> None:
    fake.outage = status
    async with pagos_at(fake) as pagos:
        assert await pagos.resolve(KEY) is None


async def test_what_cannot_be_a_key_is_never_asked_about(fake: FakePagos) -> None:
    async with pagos_at(fake) as pagos:
        for key in ("k\r\nx-admin: 1", "schlüssel", "\udcff", "k" * 513, "a\0b"):
            assert await pagos.resolve(key) is None
    assert fake.asked == []


async def test_path_headers_and_fields_are_settings(fake: FakePagos) -> None:
    fake.accounts[KEY] = {"data": {"tenant": {"id": "acme"}, "user": "anna", "root": True}}
    mapping: dict[str, Any] = {
        "pagos_resolve_method": "POST",
        "pagos_resolve_path": "/v2/whois",
        "pagos_key_field": "key",
        "pagos_token_header": "x-admin-token",
        "pagos_token_scheme": "none",
        "pagos_org_field": "data.tenant.id",
        "pagos_user_field": "data.user",
        "pagos_admin_field": "data.root",
    }
    async with pagos_at(fake, **mapping) as pagos:
        assert await pagos.resolve(KEY) == Principal(org="acme", user_id="anna", is_admin=True)

    [asked] = fake.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v2/whois", {"key": KEY})
    assert asked.headers["x-admin-token"] == ADMIN_TOKEN
    assert "x-api-key" not in asked.headers


# ── outages ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 400, 403, 500, 502, 503])
async def test_any_other_status_is_an_outage(fake: FakePagos, status: int) -> None:
    fake.outage = status
    fake.headers = {"location": "http://127.0.0.1:1/elsewhere"}
    async with pagos_at(fake) as pagos:
        error = await refusal(pagos)
    assert error.retry_after is not None
    assert error.retry_after >= 1
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>proxy</html>",
        b"[]",
        b'"acme"',
        b"{}",
        b'{"orgId": null}',
        b'{"orgId": "a/b"}',
        b'{"orgId": ""}',
        b'{"orgId": 7}',
        b'{"orgId": "acme", "isAdmin": "false"}',
        b'{"orgId": "acme", "isAdmin": 1}',
        b'{"orgId": "acme", "userId": {}}',
        b"[" * 100_000,
        b'{"orgId": "acme", "pad": "' + b"x" * 70_000 + b'"}',
        b"\xff\xfe",
    ],
)
async def test_an_answer_without_sense_is_an_outage(fake: FakePagos, answer: bytes) -> None:
    fake.odd_answer = answer
    async with pagos_at(fake) as pagos:
        await refusal(pagos)
        fake.odd_answer = None
        assert await pagos.resolve(KEY) == PRINCIPAL


async def test_odd_answers_about_one_key_lock_nobody_else_out(fake: FakePagos) -> None:
    fake.accounts["odd"] = {"orgId": "not an id"}
    async with pagos_at(fake, pagos_breaker_failures=2) as pagos:
        for _ in range(5):
            await refusal(pagos, "odd")
        assert await pagos.resolve(KEY) == PRINCIPAL


async def test_a_slow_pagos_is_an_outage(fake: FakePagos) -> None:
    fake.held.clear()
    async with pagos_at(fake, pagos_timeout_seconds=0.2) as pagos:
        async with asyncio.timeout(60):
            await refusal(pagos)
        fake.held.set()
        # So impatient, it may take a slow moment of this machine for an outage as well.
        assert await let_in(pagos) == PRINCIPAL


async def test_a_pagos_that_is_down_is_an_outage_and_its_return_is_noticed(fake: FakePagos) -> None:
    await fake.stop()
    async with pagos_at(fake) as pagos:
        await refusal(pagos)
        await fake.start()
        assert await pagos.resolve(KEY) == PRINCIPAL


async def test_a_busy_pagos_is_asked_when_it_wants_to_be(fake: FakePagos) -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for header, least, most in (("17", 17, 17), ("2.5", 2, 2), (in_a_minute, 30, 60)):
        fake.outage, fake.headers = 429, {"retry-after": header}
        async with pagos_at(fake) as pagos:
            assert least <= ((await refusal(pagos)).retry_after or 0) <= most


async def test_nothing_secret_is_logged_or_said(fake: FakePagos) -> None:
    async with pagos_at(fake) as pagos:
        with capture_logs() as logs:
            fake.outage = 403
            said = [str(await refusal(pagos))]
            fake.outage, fake.odd_answer = None, b'{"org": "secret-of-somebody"}'
            said.append(str(await refusal(pagos)))
    # Others may log meanwhile: the servers that the tests of this process share.
    refused, odd = [log for log in logs if log["event"] == "pagos gave no usable answer"]
    assert refused["cure"] == "check PAGOS_ADMIN_TOKEN"
    assert odd["cure"].startswith("check PAGOS_RESOLVE_PATH")
    everything = f"{logs} {said}"
    for secret in (KEY, ADMIN_TOKEN, "secret-of-somebody"):
        assert secret not in everything


async def test_no_cookie_of_one_key_goes_with_another(fake: FakePagos) -> None:
    fake.accounts["other"] = {"orgId": "other"}
    fake.headers = {"set-cookie": "session=annas; Path=/"}
    async with pagos_at(fake) as pagos:
        await pagos.resolve(KEY)
        await pagos.resolve("other")
    assert all("cookie" not in asked.headers for asked in fake.asked)


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────


async def test_after_outages_in_a_row_pagos_is_left_alone(fake: FakePagos) -> None:
    fake.outage = 500
    async with pagos_at(fake, pagos_breaker_failures=3) as pagos:
        errors = [await refusal(pagos, f"key-{number}") for number in range(6)]
    error = errors[-1]
    assert len(fake.asked) == 3
    assert error.retry_after is not None
    assert 1 < error.retry_after <= 10


async def test_after_the_pause_one_tries_and_its_success_lets_all_in(fake: FakePagos) -> None:
    fake.outage = 500
    async with pagos_at(fake, pagos_breaker_failures=1, pagos_breaker_seconds=0.2) as pagos:
        await refusal(pagos)
        fake.outage = None
        assert await let_in(pagos) == PRINCIPAL


@pytest.mark.parametrize("odd_status", [200, 302, 403, 429])
async def test_whoever_tries_after_the_pause_locks_nobody_out_by_an_odd_answer(
    fake: FakePagos, odd_status: int
) -> None:
    """Pagos answers again: that one key's account is broken is no outage."""
    fake.outage = 500
    now = 100.0
    async with pagos_at(fake, lambda: now, pagos_breaker_failures=1) as pagos:
        await refusal(pagos)
        now += 10
        fake.outage = None if odd_status == 200 else odd_status
        fake.odd_answer = b"{}" if odd_status == 200 else None
        await refusal(pagos, "odd")
        fake.outage = fake.odd_answer = None
        assert await pagos.resolve(KEY) == PRINCIPAL


def test_only_one_tries_after_the_pause() -> None:
    now = 100.0
    breaker = CircuitBreaker(2, 10, lambda: now)
    breaker.failed()
    assert breaker.wait_seconds() == 0
    breaker.failed()
    assert breaker.wait_seconds() == 10
    now += 10
    assert [breaker.wait_seconds() for _ in range(3)] == [0, 10, 10]
    breaker.failed()
    assert breaker.wait_seconds() == 10
    now += 10
    assert breaker.wait_seconds() == 0
    breaker.succeeded()
    assert [breaker.wait_seconds() for _ in range(3)] == [0, 0, 0]


# ── the cache ────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_is_kept_and_serves_through_an_outage(fake: FakePagos) -> None:
    async with pagos_at(fake) as pagos:
        await pagos.resolve(KEY)
        await fake.stop()
        assert await pagos.resolve(KEY) == PRINCIPAL
        await refusal(pagos, "another key")
    assert len(fake.asked) == 1


async def test_a_revoked_key_stops_working_within_the_caches_life(fake: FakePagos) -> None:
    now = 100.0
    async with pagos_at(fake, lambda: now, pagos_cache_seconds=30) as pagos:
        assert await pagos.resolve(KEY) == PRINCIPAL
        del fake.accounts[KEY]
        now += 29.9
        assert await pagos.resolve(KEY) == PRINCIPAL
        now += 0.1
        assert await pagos.resolve(KEY) is None
    assert len(fake.asked) == 2


async def test_an_old_answer_never_serves_through_an_outage(fake: FakePagos) -> None:
    async with pagos_at(fake, pagos_cache_seconds=0) as pagos:
        await pagos.resolve(KEY)
        fake.outage = 500
        await refusal(pagos)


async def test_a_no_is_kept_as_well_but_not_for_long(fake: FakePagos) -> None:
    now = 100.0
    async with pagos_at(fake, lambda: now, pagos_negative_cache_seconds=5) as pagos:
        for _ in range(3):
            assert await pagos.resolve("new") is None
        assert len(fake.asked) == 1
        fake.accounts["new"] = {"orgId": "acme"}
        now += 5
        assert await pagos.resolve("new") is not None
    assert len(fake.asked) == 2


async def test_many_requests_with_one_key_are_one_question(fake: FakePagos) -> None:
    fake.held.clear()
    async with pagos_at(fake) as pagos:
        waiting = [asyncio.create_task(pagos.resolve(KEY)) for _ in range(20)]
        await eventually(lambda: len(fake.asked) == 1)
        # Whoever asked first may go away; the others still get their answer.
        waiting[0].cancel()
        fake.held.set()
        answers = await asyncio.gather(*waiting[1:])
    assert answers == [PRINCIPAL] * 19
    assert len(fake.asked) == 1


async def test_an_outage_is_shared_by_those_who_wait_and_not_kept(fake: FakePagos) -> None:
    fake.outage = 500
    fake.held.clear()
    async with pagos_at(fake) as pagos:
        waiting = [asyncio.create_task(pagos.resolve(KEY)) for _ in range(5)]
        await eventually(lambda: len(fake.asked) == 1)
        fake.held.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, PagosUnavailable) for answer in answers)
        fake.outage = None
        assert await pagos.resolve(KEY) == PRINCIPAL


def test_wrong_keys_push_no_right_one_out() -> None:
    now = 0.0
    cache = KeyCache(2, 30, 5, lambda: now)
    cache.put(b"right", PRINCIPAL, now)
    for number in range(10):
        cache.put(bytes([number]), None, now)
    assert cache.get(b"right") == Known(PRINCIPAL)
    assert [number for number in range(10) if cache.get(bytes([number]))] == [8, 9]
    cache.put(b"second", PRINCIPAL, now)
    cache.get(b"right")
    cache.put(b"third", PRINCIPAL, now)
    assert cache.get(b"second") is None
    assert cache.get(b"right") == Known(PRINCIPAL)


def test_the_life_of_an_answer_begins_with_the_question() -> None:
    now = 100.0
    cache = KeyCache(10, 30, 5, lambda: now)
    cache.put(b"key", PRINCIPAL, asked_at=90.0)
    now = 119.9
    assert cache.get(b"key") == Known(PRINCIPAL)
    now = 120.0
    assert cache.get(b"key") is None


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def empty_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    for name in ("AUTH_PROVIDER", "PAGOS_API_URL", "PAGOS_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_pagos_is_the_default_and_its_settings_are_needed_at_start(
    empty_environment: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(ApiSettings)
    assert "PAGOS_API_URL is not set" in str(caught.value)
    assert "PAGOS_ADMIN_TOKEN is not set" in str(caught.value)

    empty_environment.setenv("AUTH_PROVIDER", "local")
    with pytest.raises(SettingsError) as caught:
        load(ApiSettings)
    assert "PAGOS" not in str(caught.value)


def test_the_environment_is_read_and_faults_are_named(
    empty_environment: pytest.MonkeyPatch,
) -> None:
    empty_environment.setenv("PAGOS_API_URL", "https://pagos.test/")
    empty_environment.setenv("PAGOS_ADMIN_TOKEN", "token")
    empty_environment.setenv("PAGOS_UNKNOWN_KEY_STATUSES", "404, 410")
    settings = load(PagosSettings)
    assert settings.pagos_api_url == "https://pagos.test"
    assert settings.pagos_unknown_key_statuses == {404, 410}

    empty_environment.setenv("PAGOS_API_URL", "pagos.test")
    empty_environment.setenv("PAGOS_UNKNOWN_KEY_STATUSES", "200")
    with pytest.raises(SettingsError) as caught:
        load(PagosSettings)
    assert "PAGOS_API_URL: must start with https:// or http://" in str(caught.value)
    assert "PAGOS_UNKNOWN_KEY_STATUSES: must be statuses from 400 to 499" in str(caught.value)

    empty_environment.setenv("PAGOS_API_URL", "https://pagos.test")
    empty_environment.delenv("PAGOS_UNKNOWN_KEY_STATUSES")
    empty_environment.setenv("PAGOS_KEY_FIELD", "key")
    with pytest.raises(SettingsError, match="PAGOS_KEY_FIELD: needs PAGOS_RESOLVE_METHOD=POST"):
        load(PagosSettings)
