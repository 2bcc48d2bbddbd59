"""A real API process serves others within its memory, whatever hostile clients send.

Each attack runs against the same process while a well-behaved client goes on asking. The process
must never have more than `CEILING` in memory; the measured peak is printed after each attack.
"""

import asyncio
import base64
import gzip
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.auth.local_keys import hash_of
from api.limits.bodies import MAX_VALUES
from api.limits.connections import MOST_CONNECTIONS
from api.problems import MAX_BODY_BYTES
from domain.sessions import callback_token
from domain.sessions.callback_token import CallbackClaims
from tests.servers import MongoServer, TemporalServer, free_port
from tests.waiting import eventually

CEILING = 512 * 1024 * 1024
"""The container's limit in docker-compose.yml."""
MIB = 1024 * 1024
JSON_BODY = {"Content-Type": "application/json"}
PATIENCE = 120.0
KEY = "evl_the-key-of-the-process"
CALLBACK_SECRET = "c" * 32
START, REPORT = "/v1/sessions/start", "/session/observability"
ATTACK_SECONDS = 60.0
"""Longer than the API waits for a body."""

pytestmark = pytest.mark.timeout(400)


@dataclass
class Process:
    """The API as a process."""

    pid: int
    port: int
    http: httpx.AsyncClient

    def resident(self, what: str = "VmHWM") -> int:
        """Bytes in memory at most until now; `VmRSS` for now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{what}:")]
        return int(line.split()[1]) * 1024


@pytest.fixture(scope="module", autouse=True)
def many_connections() -> Generator[None]:
    """The attackers are this process: it needs as many sockets as the API."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = max(soft, 3 * MOST_CONNECTIONS)
        wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
async def api(
    temporal_server: TemporalServer,
    mongo_server: MongoServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Process]:
    """The real process, with Temporal and MongoDB, without a worker."""
    port = free_port()
    folder = tmp_path_factory.mktemp("api")
    settings = {
        "NODE_ENV": "production",
        "PORT": str(port),
        "AUTH_PROVIDER": "local",
        "EVERLINE_BOOTSTRAP_KEY_HASH": hash_of(KEY),
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 40,
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_TASK_QUEUE": f"nobody-{port}",
        "MONGODB_URI": mongo_server.uri,
        "MONGODB_DATABASE": f"hostile-{port}",
        "EVERLINE_ENCRYPTION_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}",
        "EVERLINE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.main"),
            cwd=folder,
            env={"PATH": os.environ["PATH"], **settings},
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    # Each request with a connection of its own: nobody's is already open when an attack begins.
    limits = httpx.Limits(max_keepalive_connections=0)
    try:
        async with httpx.AsyncClient(
            base_url=url, headers={"x-api-key": KEY}, timeout=PATIENCE, limits=limits
        ) as http:

            async def answers() -> bool:
                assert process.returncode is None, (folder / "log").read_text()
                with suppress(httpx.TransportError):
                    return (await http.get("/agents")).status_code == 200
                return False

            await eventually(answers, PATIENCE)
            yield Process(process.pid, port, http)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


ASKED = (("GET", "/health", 200), ("GET", "/agents", 200), ("POST", "/session/end", 422))
"""What the well-behaved client asks, and what it is answered."""


@dataclass
class Probe:
    """The well-behaved client: what it was answered, and how long that took."""

    served: int = 0
    slowest: float = 0.0

    async def ask(self, http: httpx.AsyncClient) -> None:
        """Ask for ever, one thing after the other."""
        while True:
            for method, path, status in ASKED:
                begun = time.monotonic()
                answer = await http.request(method, path, content="{}", headers=JSON_BODY)
                self.slowest = max(self.slowest, time.monotonic() - begun)
                assert answer.status_code == status, f"{method} {path}: {answer.text}"
                self.served += 1


@dataclass
class Attack:
    """What happened."""

    name: str
    api: Process
    probe: Probe = field(default_factory=Probe)
    statuses: Counter[str] = field(default_factory=Counter[str])

    async def one(self, work: Awaitable[bytes]) -> None:
        """Await one hostile client, and count what it was told."""
        try:
            head = await asyncio.wait_for(work, ATTACK_SECONDS)
            status = head.split(b" ", 2)[1].decode() if head.startswith(b"HTTP/") else "nothing"
        except TimeoutError:
            status = "nothing"
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            status = "closed"
        self.statuses[status] += 1

    async def all(self, works: Iterable[Awaitable[bytes]]) -> None:
        """Await many hostile clients at the same time."""
        await asyncio.gather(*(self.one(work) for work in works))

    async def until_served(self, others: int, works: Iterable[Awaitable[bytes]]) -> None:
        """Let many hostile clients go on until so many further requests of others are served."""
        tasks = [asyncio.create_task(self.one(work)) for work in works]
        wanted = self.probe.served + others
        try:
            await eventually(lambda: self.probe.served >= wanted, PATIENCE)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        self.statuses["held"] += sum(isinstance(one, asyncio.CancelledError) for one in ended)


@pytest.fixture
def attack(
    api: Process, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Callable[[], object]:
    """Run an attack while the probe asks; afterwards, judge and print."""

    @asynccontextmanager
    async def run(served: int = 10) -> AsyncGenerator[Attack]:
        one = Attack(request.node.name, api)
        asking = asyncio.create_task(one.probe.ask(api.http))
        try:
            await eventually(lambda: asking.done() or one.probe.served >= 3, PATIENCE)
            before = one.probe.served
            yield one
            wanted = before + served
            await eventually(lambda: asking.done() or one.probe.served >= wanted, PATIENCE)
            assert not asking.done() or asking.exception() is None
            if asking.done():
                await asking
        finally:
            asking.cancel()
        peak, now = api.resident(), api.resident("VmRSS")
        with capsys.disabled():
            sys.stdout.write(
                f"\n{one.name}: peak {peak // MIB} MiB, now {now // MIB} MiB;"
                f" {dict(one.statuses)}; {one.probe.served} others served,"
                f" slowest {one.probe.slowest:.2f} s\n"
            )
        assert peak < CEILING

    return run


# ── hostile clients ──────────────────────────────────────────────────────────────────────────────


async def exchange(api: Process, data: bytes, *, hold: float = 0.0) -> bytes:
    """Send bytes on a new connection; returns the head of the response, after `hold` seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=64 * 1024)
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        if hold:
            await asyncio.sleep(hold)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


def head(path: str, *fields: str, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: api", "Content-Type: application/json", *fields]
    return "\r\n".join([*lines, "", ""]).encode()


def as_client(number: int) -> str:
    return f"x-api-key: {KEY}\r\nx-org-id: org-{number}"


def as_agent(number: int) -> str:
    claims = CallbackClaims(
        org=f"org-{number}", session_id="call", attempt=1, expires=int(time.time() + 3_600)
    )
    return f"Authorization: Bearer {callback_token.mint(CALLBACK_SECRET, claims)}"


def sent(path: str, body: bytes, *fields: str) -> bytes:
    return head(path, f"Content-Length: {len(body)}", *fields) + body


def filled(start: str, item: str, end: str, most: int = MAX_BODY_BYTES) -> bytes:
    """A JSON body of as many items as fit, and as may be in it."""
    count = (most - len(start) - len(end)) // (len(item) + 1)
    return (start + ",".join([item] * count) + end).encode()


def within_values(start: str, item: str, end: str) -> bytes:
    """A JSON body of as many items as the API accepts."""
    values = item.count(",") + item.count("[") + item.count("{") + 1
    count = min((MAX_VALUES - 10) // values, (MAX_BODY_BYTES - 100) // (len(item) + 1))
    return (start + ",".join([item] * count) + end).encode()


OF_REPORTS = ("empty objects", "accepted objects", "many keys", "turns")


def many_keys() -> bytes:
    pairs = ",".join(f'"k{number}":0' for number in range(MAX_BODY_BYTES // 12))
    return ("{" + pairs[: pairs.rindex(",", 0, MAX_BODY_BYTES - 10)] + "}").encode()


HEAVY = {
    "empty objects": filled('{"x":[', "{}", "]}"),
    "accepted objects": within_values('{"x":[', "{}", "]}"),
    "accepted pairs": within_values('{"x":[', '{"a":1}', "]}"),
    "numbers": filled('{"x":[', "1", "]}"),
    "accepted numbers": within_values('{"x":[', "123456", "]}"),
    "accepted texts": within_values('{"x":[', '"\\u00e9a"', "]}"),
    "many keys": many_keys(),
    "a long text": b'{"x":"' + b"x" * (MAX_BODY_BYTES - 10) + b'"}',
    "a long escaped text": b'{"x":"' + b"\\u20ac" * (MAX_BODY_BYTES // 6 - 10) + b'"}',
    "a long number": b'{"x":' + b"9" * (MAX_BODY_BYTES - 10) + b"}",
    "deep arrays": b"[" * (MAX_BODY_BYTES // 2) + b"]" * (MAX_BODY_BYTES // 2),
    "accepted deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
    "turns": within_values('{"turns":[', '{"role":"user","text":"x","item_id":"i"}', "]}"),
}


@pytest.mark.parametrize("path", [START, REPORT])
@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without"])
async def test_a_body_whose_last_byte_never_comes(
    api: Process, attack: Callable[..., Any], path: str, known: bool
) -> None:
    body = b" " * (MAX_BODY_BYTES - 1)
    length = f"Content-Length: {MAX_BODY_BYTES}"

    def who(number: int) -> list[str]:
        if not known:
            return []
        return [as_client(number) if path == START else as_agent(number)]

    async with attack() as one:
        await one.until_served(
            12, (exchange(api, head(path, length, *who(number)) + body) for number in range(130))
        )

    assert one.statuses.total() == 130
    allowed = {"408", "429", "closed", "held"} if known else {"401", "closed", "held"}
    assert one.statuses.keys() <= allowed


@pytest.mark.parametrize(
    ("path", "shape"),
    [*((START, shape) for shape in HEAVY), *((REPORT, shape) for shape in OF_REPORTS)],
)
async def test_six_heavy_bodies_at_once(
    api: Process, attack: Callable[..., Any], path: str, shape: str
) -> None:
    body = HEAVY[shape]
    assert len(body) <= MAX_BODY_BYTES
    async with attack(served=3) as one:
        who = as_client if path == START else as_agent
        await one.all(exchange(api, sent(path, body, who(n))) for n in range(6))
        await one.all(exchange(api, sent(path, body)) for _ in range(6))

    assert one.statuses.keys() <= {"200", "401", "404", "413", "422", "429", "closed"}
    assert one.statuses["401"] + one.statuses["closed"] >= 6


async def test_nothing_of_a_deep_body_is_an_error_of_ours(api: Process) -> None:
    for depth in (50, 200, 500, 900, 1_000, 3_000, 50_000):
        for start, end in (("[", "]"), ('{"a":', "}")):
            deep = start * depth + "1" + end * depth
            for path, text in (
                ("/agents", f'{{"config":{{"http_tools":[{{"parameters":{deep}}}]}}}}'),
                ("/agents", f'{{"config":{{"analysis":{deep},"lyzr_tools":{deep}}}}}'),
                (START, f'{{"agent_config":{deep},"metadata":{deep}}}'),
                ("/v1/webhooks", f'{{"url":{deep}}}'),
                ("/session/end", deep),
            ):
                answer = await api.http.post(
                    path, content=text, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code in (413, 422), f"{path} {depth}: {answer.text}"
            answer = await api.http.post(
                REPORT,
                content=f'{{"turns":{deep},"sdk_report":{deep},"chat_history":{deep}}}',
                headers={
                    "Content-Type": "application/json",
                    **dict([as_agent(1).split(": ", 1)]),
                },
            )
            assert answer.status_code < 500, f"{depth}: {answer.text}"


async def test_chunks_without_end(api: Process, attack: Callable[..., Any]) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    small = b"1\r\n \r\n" * 4_000

    async def endless(number: int, piece: bytes, seconds: float) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        who = [as_client(number)] if number % 2 else []

        async def pour() -> None:
            writer.write(head(START, "Transfer-Encoding: chunked", *who))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                writer.write(piece)
                await writer.drain()

        pouring = asyncio.create_task(pour())
        try:
            return await reader.readuntil(b"\r\n\r\n")
        finally:
            pouring.cancel()
            with suppress(ConnectionError, asyncio.CancelledError):
                await pouring
            writer.close()

    async with attack() as one:
        await one.all(endless(number, chunk, 60) for number in range(30))
        await one.all(endless(number, small, 60) for number in range(6))
    assert one.statuses.keys() <= {"401", "413", "429", "closed"}
    assert one.statuses["413"] + one.statuses["429"] + one.statuses["closed"] > 0


async def test_headers_byte_by_byte(api: Process, attack: Callable[..., Any]) -> None:
    async def drip(_: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)

        async def forever() -> None:
            writer.write(b"GET /health HTTP/1.1\r\nHost: api\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.5)

        dripping = asyncio.create_task(forever())
        try:
            return await reader.readuntil(b"\r\n\r\n")
        finally:
            dripping.cancel()
            with suppress(ConnectionError, asyncio.CancelledError):
                await dripping
            writer.close()

    async with attack() as one:
        await one.until_served(12, (drip(number) for number in range(300)))
    assert one.statuses.keys() <= {"closed", "held"}


async def test_headers_without_end(api: Process, attack: Callable[..., Any]) -> None:
    endless = b"GET /health HTTP/1.1\r\n" + b"x-filler: " + b"x" * (4 * MIB)
    many = b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 400_000
    async with attack() as one:
        for data in (endless, many):
            await one.all(exchange(api, data) for _ in range(40))
    assert one.statuses.keys() <= {"400", "closed"}


async def test_a_body_is_asked_for_only_after_the_key(api: Process) -> None:
    expect = ("Expect: 100-continue", "Content-Length: 1000")
    unknown = await asyncio.wait_for(exchange(api, head(START, *expect)), PATIENCE)
    assert unknown.startswith(b"HTTP/1.1 401 ")
    known = await asyncio.wait_for(exchange(api, head(START, *expect, as_client(1))), PATIENCE)
    assert known.startswith(b"HTTP/1.1 100 ")


async def test_what_is_compressed_is_never_inflated(
    api: Process, attack: Callable[..., Any]
) -> None:
    bomb = gzip.compress(b" " * (512 * MIB // 4))
    assert len(bomb) < MIB
    async with attack() as one:
        for encoding in ("gzip", "deflate", "br"):
            field = f"Content-Encoding: {encoding}"
            await one.all(exchange(api, sent(START, bomb, as_client(1), field)) for _ in range(4))
    assert one.statuses.keys() <= {"422", "429"}


async def test_pipelined_requests(api: Process, attack: Callable[..., Any]) -> None:
    async def pipelined(_: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n" * 300)
            first = b""
            for _ in range(300):
                first = await reader.readuntil(b"\r\n\r\n")
                assert first.startswith(b"HTTP/1.1 200 ")
                await reader.readuntil(b"}")
            return first
        finally:
            writer.close()

    async with attack(served=3) as one:
        await one.all(pipelined(number) for number in range(10))
    assert one.statuses == {"200": 10}


async def test_thousands_of_idle_connections(api: Process, attack: Callable[..., Any]) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def idle(number: int) -> None:
        with suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writers.append(writer)
            if number % 2:
                # Kept open after a first request.
                writer.write(b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")

    try:
        async with attack(served=12):
            gate = asyncio.Semaphore(100)

            async def gated(number: int) -> None:
                async with gate:
                    await idle(number)

            await asyncio.gather(*(gated(number) for number in range(2 * MOST_CONNECTIONS)))
    finally:
        for writer in writers:
            writer.close()


async def test_clients_that_do_not_read(api: Process, attack: Callable[..., Any]) -> None:
    writers: list[asyncio.StreamWriter] = []
    try:
        async with attack() as one:
            for _ in range(300):
                reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
                assert reader
                writers.append(writer)
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: api\r\n\r\n" * 4)
        assert one.probe.served
    finally:
        for writer in writers:
            writer.close()


async def test_it_has_answered_every_attack_from_the_same_process(api: Process) -> None:
    assert (await api.http.get("/health")).status_code == 200
    assert api.resident() < CEILING
    answer = await api.http.get("/agents")
    assert answer.json()["agents"] == []
