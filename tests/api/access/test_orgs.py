"""Keys, scopes, and admins who act for other orgs: each such access leaves a line in the log."""

import math
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from adapters.auth.pagos import Pagos
from domain.errors import TooManyRequests
from services.access.rate_limits import RequestRates
from tests.api.door import is_problem
from tests.api.house import ROOT_KEY, ROOT_ORG, House, Tenant, unique
from tests.fakes.pagos import FakePagos
from tests.waiting import eventually


@pytest.fixture
async def app(house: House) -> AsyncGenerator[FastAPI]:
    async with house.open() as app:
        yield app


@pytest.fixture
def root(app: FastAPI) -> Tenant:
    return Tenant(app, ROOT_KEY)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_is_shown_once_works_and_stops_working_when_it_is_revoked(
    app: FastAPI, root: Tenant
) -> None:
    org = unique("acme")
    made = await root.http.post(
        "/v1/keys", json={"name": "laptop", "user_id": "anna"}, headers={"x-org-id": org}
    )
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert key["org"] == org
    assert key["scopes"] == ["read", "write"]
    assert key["key"].startswith(f"evk_{key['prefix']}_")

    anna = Tenant(app, key["key"])
    assert (await anna.http.get("/v1/sessions")).json() == {"sessions": [], "next": None}
    listed = (await root.http.get("/v1/keys", headers={"x-org-id": org})).json()["keys"]
    assert [(one["prefix"], one["name"]) for one in listed] == [(key["prefix"], "laptop")]
    assert "key" not in listed[0]
    assert listed[0]["last_used_at"] is not None

    path = f"/v1/keys/{key['prefix']}"
    assert is_problem(await root.http.delete(path), 404, "not_found")
    assert (await root.http.delete(path, headers={"x-org-id": org})).status_code == 204
    assert is_problem(await anna.http.get("/v1/sessions"), 401, "unauthenticated")


async def test_scopes_are_kept_to(app: FastAPI, house: House) -> None:
    org = unique("acme")
    reader = Tenant(app, await house.key(org, scopes=("read",)))
    writer = Tenant(app, await house.key(org, scopes=("write",)))
    keeper = Tenant(app, await house.key(org, scopes=("keys",)))

    assert (await reader.http.get("/v1/sessions")).status_code == 200
    assert is_problem(await reader.start("a"), 403, "forbidden")
    assert (await writer.start("a")).status_code == 202
    assert is_problem(await writer.http.get("/v1/sessions"), 403, "forbidden")
    for one in (reader, writer):
        for method in ("GET", "POST", "DELETE"):
            path = "/v1/keys/x" if method == "DELETE" else "/v1/keys"
            assert is_problem(await one.http.request(method, path, json={}), 403, "forbidden")
    assert len((await keeper.http.get("/v1/keys")).json()["keys"]) == 3
    assert is_problem(await keeper.http.get("/v1/sessions"), 403, "forbidden")


async def test_nobody_gives_away_what_they_do_not_have(app: FastAPI, house: House) -> None:
    org = unique("acme")
    keeper = Tenant(app, await house.key(org, scopes=("keys", "read")))

    for body, field in (({"scopes": ["write"]}, "scopes"), ({"is_admin": True}, "is_admin")):
        answer = await keeper.http.post("/v1/keys", json={"scopes": ["read"]} | body)
        assert is_problem(answer, 403, "forbidden")
        assert answer.json()["errors"][0]["field"] == field
    made = await keeper.http.post("/v1/keys", json={"scopes": ["read"]})
    assert made.status_code == 201
    assert made.json()["org"] == org


async def test_a_key_expires(app: FastAPI, root: Tenant) -> None:
    org = {"x-org-id": unique("acme")}
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    answer = await root.http.post("/v1/keys", json={"expires_at": past}, headers=org)
    assert is_problem(answer, 422, "invalid_input")

    for seconds in (1, 5, 25):
        soon = datetime.now(UTC) + timedelta(seconds=seconds)
        made = await root.http.post("/v1/keys", json={"expires_at": soon.isoformat()}, headers=org)
        if made.status_code == 201:
            break  # a busy machine needs more than a second to be asked
    tenant = Tenant(app, made.json()["key"])

    async def expired() -> bool:
        return (await tenant.http.get("/v1/sessions")).status_code == 401

    await eventually(expired)
    assert datetime.now(UTC) >= soon


async def test_without_mongodb_there_are_no_keys_to_manage(house: House) -> None:
    async with house.open(key_store=None) as app:
        answer = await Tenant(app, ROOT_KEY).http.get("/v1/keys")
    assert is_problem(answer, 503, "storage_unavailable")
    assert answer.headers["retry-after"] == "60"


# ── admins ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_admin_acts_for_an_org_by_naming_it_and_that_is_logged(
    app: FastAPI, house: House, root: Tenant
) -> None:
    org = unique("acme")
    anna = Tenant(app, await house.key(org, user_id="anna"))
    assert (await anna.start("call")).status_code == 202
    assert is_problem(await root.http.get("/v1/sessions/call"), 404, "not_found")

    with capture_logs() as logs:
        answer = await root.http.get("/v1/sessions/call", headers={"x-org-id": org})
    assert answer.status_code == 200
    assert (answer.json()["org"], answer.json()["user_id"]) == (org, "anna")
    [event] = [log for log in logs if log["event"] == "admin acts for another org"]
    assert dict(event) | {"log_level": "", "request_id": ""} == {
        "event": "admin acts for another org",
        "log_level": "",
        "request_id": "",
        "org": org,
        "admin_org": ROOT_ORG,
        "admin_user": "bootstrap",
        "method": "GET",
        "route": "/v1/sessions/{session_id}",
        "parameters": {"session_id": "call"},
    }
    [request] = [log for log in logs if log["event"] == "request"]
    assert (request["org"], request["request_id"]) == (org, event["request_id"])

    with capture_logs() as logs:
        started = await root.http.post(
            "/v1/sessions/start",
            json={"session_id": "by-root"},
            params={"wait": "accepted"},
            headers={"x-org-id": org},
        )
    assert started.status_code == 202
    assert [log["org"] for log in logs if log["event"] == "admin acts for another org"] == [org]
    assert (await anna.http.get("/v1/sessions/by-root")).json()["user_id"] == "bootstrap"


async def test_their_own_org_is_nothing_special(root: Tenant) -> None:
    with capture_logs() as logs:
        answer = await root.http.get("/v1/sessions", headers={"x-org-id": ROOT_ORG})
    assert answer.status_code == 200
    assert not [log for log in logs if log["event"] == "admin acts for another org"]


async def test_an_org_that_is_no_id_is_refused(root: Tenant) -> None:
    for org in ("a/b", "a' OR 'a' = 'a", "a.b"):
        answer = await root.http.get("/v1/sessions", headers={"x-org-id": org})
        assert is_problem(answer, 422, "invalid_input")
        assert answer.json()["errors"][0]["field"] == "x-org-id"


async def test_anybody_else_gets_the_same_answer_for_every_other_org(
    app: FastAPI, house: House
) -> None:
    org, other = unique("acme"), unique("globex")
    await house.key(other)
    anna = Tenant(app, await house.key(org))
    assert (await anna.http.get("/v1/sessions", headers={"x-org-id": org})).status_code == 200

    bodies: list[dict[str, Any]] = []
    for named in (other, unique("nobody")):
        answer = await anna.http.get("/v1/sessions", headers={"x-org-id": named})
        assert is_problem(answer, 403, "forbidden")
        bodies.append(answer.json() | {"request_id": ""})
    assert bodies[0] == bodies[1]
    malformed = await anna.http.get("/v1/sessions", headers={"x-org-id": "a/b"})
    assert is_problem(malformed, 422, "invalid_input")


# ── Pagos behind the door ────────────────────────────────────────────────────────────────────────


async def test_pagos_decides_who_comes_in_and_its_outage_is_503(house: House) -> None:
    org = unique("acme")
    async with FakePagos(accounts={"pk": {"orgId": org, "userId": "anna"}}) as fake:
        pagos = Pagos(fake.settings(pagos_cache_seconds=0, pagos_timeout_seconds=30))
        async with house.open(keys=pagos, key_store=None, keys_are_local=False) as app:
            anna, nobody = Tenant(app, "pk"), Tenant(app, "wrong")
            assert (await anna.start("call")).status_code == 202
            status = (await anna.http.get("/v1/sessions/call")).json()
            assert (status["org"], status["user_id"]) == (org, "anna")
            assert is_problem(await nobody.http.get("/v1/sessions"), 401, "unauthenticated")
            assert is_problem(await anna.http.get("/v1/keys"), 404, "not_found")

            await fake.stop()
            for who in (anna, Tenant(app, "another")):
                answer = await who.http.get("/v1/sessions")
                assert is_problem(answer, 503, "auth_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
        await pagos.aclose()


# ── rate limits ──────────────────────────────────────────────────────────────────────────────────


async def test_an_org_that_asks_too_fast_is_told_when_to_come_back(house: House) -> None:
    now = 100.0
    async with house.open(rates=RequestRates(0.5, 2, lambda: now)) as app:
        org, other = unique("acme"), unique("globex")
        first, second = Tenant(app, await house.key(org)), Tenant(app, await house.key(org))
        for tenant in (first, second):
            assert (await tenant.http.get("/v1/sessions")).status_code == 200
        for tenant in (first, second):
            answer = await tenant.http.get("/v1/sessions")
            assert is_problem(answer, 429, "too_many_requests")
            assert answer.headers["retry-after"] == "2"
        neighbour = Tenant(app, await house.key(other))
        assert (await neighbour.http.get("/v1/sessions")).status_code == 200

        now += 2
        assert (await first.http.get("/v1/sessions")).status_code == 200
        assert (await first.http.get("/v1/sessions")).status_code == 429


def test_the_bucket_is_refilled_at_its_rate_and_never_above_its_burst() -> None:
    now = 0.0
    rates = RequestRates(10, 5, lambda: now)

    def granted() -> int:
        count = 0
        while True:
            try:
                rates.take("acme")
            except TooManyRequests:
                return count
            count += 1

    assert granted() == 5
    now += 0.25
    assert granted() == 2
    now += 3600
    assert granted() == 5


def test_zero_means_no_limit() -> None:
    rates = RequestRates(0, 1, lambda: math.nan)
    for _ in range(1_000):
        rates.take("acme")
