"""The parts of the chaos machine by themselves: the plan, the proxies, the judge, the table."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from domain.ids import SessionKey
from domain.sessions.session import Outcome, SessionState, SessionStatus, WaitingFor
from tests.chaos.machine.call_log import CallLog, Presence
from tests.chaos.machine.callers import Callers
from tests.chaos.machine.checker import durations_are_true
from tests.chaos.machine.faults import Delivery, Mode
from tests.chaos.machine.plan import Behaviour, make_plan
from tests.chaos.machine.report import Report, percentile
from tests.chaos.machine.webhook_relay import WebhookRelay
from tests.chaos.machine.wires import WireProxy
from tests.harness.client import Client
from tests.harness.ledger import Ledger
from tests.servers import free_port
from tests.waiting import eventually

PATIENCE = ClientTimeout(total=30)


def test_a_seed_always_makes_the_same_plan() -> None:
    assert make_plan(7, 300) == make_plan(7, 300)
    assert make_plan(7, 300) != make_plan(8, 300)


def test_a_longer_run_begins_with_the_same_faults_and_callers() -> None:
    short, long = make_plan(7, 60), make_plan(7, 300)
    assert long.steps[: len(short.steps)] == short.steps
    assert long.arrivals[: len(short.arrivals)] == short.arrivals


def test_five_minutes_have_faults_of_every_kind() -> None:
    plans = [make_plan(seed, 300, redis=True) for seed in range(3)]
    kinds = {step.fault.kind for plan in plans for step in plan.steps}
    for wanted in (
        *("kill -9 api", "kill -9 livekit", "kill -9 agent job", "kill -9 redis"),
        *("SIGSTOP agent job", "full disk (agent)", "flood of starts", "FLUSHALL redis"),
        *("workflow: cancels", "workflow: terminates", "workflow: resets"),
        *("webhooks: withholds", "callbacks: repeats, reordered"),
        *(f"wire {mode}" for mode in Mode),
    ):
        assert wanted in kinds
    behaviours = {arrival.behaviour for arrival in make_plan(1, 300, external=True).arrivals}
    assert behaviours == set(Behaviour)


class Server:
    """An HTTP server that counts what it has done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.port = free_port()

    async def answer(self, request: web.Request) -> web.Response:
        self.done.append((await request.read()).decode())
        return web.Response(text="a" * 1000)


@asynccontextmanager
async def serving() -> AsyncGenerator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def through(server: Server) -> AsyncGenerator[tuple[WireProxy, ClientSession, str]]:
    async with WireProxy(free_port(), server.port) as wire, ClientSession(timeout=PATIENCE) as http:
        yield wire, http, f"http://127.0.0.1:{wire.port}"


@pytest.mark.parametrize(
    ("mode", "done"),
    [
        (Mode.REFUSE, False),
        (Mode.FAIL_BEFORE, False),
        (Mode.FAIL_AFTER, True),
        (Mode.TRUNCATE, True),
    ],
)
async def test_a_wire_fails_before_or_after_the_request_is_done(mode: Mode, done: bool) -> None:
    async with serving() as server, through(server) as (wire, http, url):
        wire.fail(mode)
        with pytest.raises(ClientError):
            async with http.post(url, data="once") as answer:
                await answer.read()
        assert server.done == (["once"] if done else [])
        wire.heal()
        async with http.post(url, data="again") as answer:
            assert len(await answer.read()) == 1000


async def test_a_wire_does_the_request_and_lets_it_time_out() -> None:
    async with serving() as server, through(server) as (wire, http, url):
        wire.fail(Mode.TIME_OUT)
        request = asyncio.create_task(http.post(url, data="once"))
        await eventually(lambda: server.done == ["once"])
        assert not request.done()
        wire.heal()
        with pytest.raises(ClientError):
            await request


@pytest.mark.parametrize(
    ("mode", "status"),
    [(Mode.NOT_FOUND, 404), (Mode.TOO_LARGE, 413), (Mode.BAD_GATEWAY, 502), (Mode.HTML, 200)],
)
async def test_a_wire_responds_in_the_name_of_the_server(mode: Mode, status: int) -> None:
    async with serving() as server, through(server) as (wire, http, url):
        wire.fail(mode)
        async with http.post(url, data="x" * 200_000) as answer:
            assert answer.status == status
            assert len(await answer.read()) < 100
        assert server.done == []


async def test_a_wire_empties_only_lists() -> None:
    async with serving() as server, through(server) as (wire, http, url):
        wire.fail(Mode.EMPTY_LISTS)
        async with http.post(f"{url}/twirp/livekit.RoomService/ListRooms", data="x") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with http.post(f"{url}/twirp/livekit.RoomService/DeleteRoom", data="y") as answer:
            assert len(await answer.read()) == 1000
        assert server.done == ["y"]


@pytest.mark.parametrize(
    ("delivery", "times"), [(None, 1), (Delivery.DUPLICATE, 2), (Delivery.REORDER, 1)]
)
async def test_webhooks_arrive_as_often_as_they_are_told(
    delivery: Delivery | None, times: int
) -> None:
    async with (
        serving() as server,
        WebhookRelay(free_port(), f"http://127.0.0.1:{server.port}") as relay,
        ClientSession(timeout=PATIENCE) as http,
    ):
        relay.delivery = Delivery.WITHHOLD
        async with http.post(relay.url, data="withheld") as answer:
            assert answer.status == 200
        relay.delivery = delivery
        async with http.post(relay.url, data="event") as answer:
            assert answer.status == 200
        await eventually(lambda: len(server.done) == times)
        assert server.done == ["event"] * times


# ── the judge ────────────────────────────────────────────────────────────────────────────────────

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = SessionKey("local", "one")
SLACK = timedelta(seconds=4)


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def closed(**fields: object) -> SessionStatus:
    known: dict[str, object] = {
        "org": KEY.org,
        "session_id": KEY.session_id,
        "room_name": "local.one",
        "state": SessionState.CLOSED,
        "waiting_for": WaitingFor.NOTHING,
        "version": 1,
        "agent_name": "local-test",
        "outcome": Outcome.COMPLETED,
        "started_at": BEGAN,
        "ended_at": after(30),
        "closed_at": after(31),
        "talk_seconds": 20,
    }
    return SessionStatus.model_validate(known | fields)


def seen() -> CallLog:
    """A caller that was there from 5 s to 30 s, with an agent from 10 s on."""
    log = CallLog(KEY, Behaviour.HANGS_UP)
    log.caller.append(Presence(after(5), after(30)))
    log.agents["agent-1"] = Presence(after(10), after(30))
    return log


def test_a_true_duration_is_no_violation() -> None:
    assert durations_are_true(closed(), seen(), SLACK) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"talk_seconds": 25}, "its caller saw an agent for 20.0 s"),
        ({"talk_seconds": 40}, "longer than the call"),
        ({"talk_seconds": None}, "without talk time"),
        ({"ended_at": after(35), "closed_at": after(36)}, "over for its caller"),
        ({"ended_at": after(32)}, "closed"),
    ],
)
def test_an_untrue_duration_is_seen(fields: dict[str, object], told: str) -> None:
    assert told in " ".join(durations_are_true(closed(**fields), seen(), SLACK))


def test_a_call_without_its_caller_is_not_completed() -> None:
    log = CallLog(KEY, Behaviour.NEVER_COMES)
    found = " ".join(durations_are_true(closed(), log, SLACK))
    assert "talked for 20.0 s, and its caller never came" in found
    assert "completed, and its caller never came" in found


def test_a_session_that_never_ended_is_left_to_the_other_checks() -> None:
    assert durations_are_true(closed(state=SessionState.LIVE), seen(), SLACK) == []


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 95, 100)] == [50, 95, 100]
    assert percentile([3.0], 95) == 3.0


def test_a_failing_run_names_the_command_that_repeats_it() -> None:
    report = Report(
        command="make chaos SEED=7 MINUTES=1",
        seconds=60,
        injected={"kill -9 api": 2},
        missed={"kill -9 agent job": 1},
        outcomes={"completed": 3},
        refused={503: 1},
        answers=4,
        recoveries={"kill -9 api": [1.0, 2.0]},
        violations=["I2 one: it has not ended"],
    )
    text = report.text()
    assert "| kill -9 api | 2 |  | 1.0 s | 2.0 s | 2.0 s |" in text
    assert "| kill -9 agent job | 0 | 1 |" in text
    assert "1 x 503" in text
    assert text.endswith("Repeat it with: make chaos SEED=7 MINUTES=1")


# ── what callers are answered ────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def callers_of(answer: web.Response) -> AsyncGenerator[Callers]:
    """Callers of an API that answers every request alike."""
    port = free_port()
    app = web.Application()

    async def always(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, text="{}", headers=answer.headers)

    app.router.add_route("*", "/{path:.*}", always)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client = Client(f"http://127.0.0.1:{port}", "none", "local", Ledger())
    try:
        yield Callers(client, "ws://127.0.0.1:1", "run")
    finally:
        await client.aclose()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (500, {}, "was answered 500"),
        (404, {}, "was answered 404"),
        (503, {}, "without Retry-After"),
        (503, {"Retry-After": "1"}, ""),
        (429, {}, ""),
    ],
)
async def test_a_start_that_is_refused_in_another_way_is_a_violation(
    status: int, headers: dict[str, str], told: str
) -> None:
    async with callers_of(web.Response(status=status, headers=headers)) as callers:
        await callers.flood(1, 0)
        assert bool(callers.violations) == bool(told)
        assert told in "".join(callers.violations)


async def test_a_session_that_nobody_knows_any_more_is_a_violation() -> None:
    async with callers_of(web.Response(status=404)) as callers:
        assert await callers.status(KEY) is None
        assert "404" in callers.violations[0]
