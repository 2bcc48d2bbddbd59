"""Customers' URLs are called at public addresses alone, at the very address that was checked."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.http.outbound import AddressGate, ForbiddenAddress, check_url, outbound_client
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from tests.servers import free_port

NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]
LEFT_ALONE = ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "::ffff:169.254.169.254"]
"""Not even in development."""


class Names:
    """A resolver whose answers a test chooses; each look takes the next one."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.looks: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.looks.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such host")
        return answer


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def client(names: Names | None = None, *, allow_private: bool = False) -> httpx.AsyncClient:
    return outbound_client(allow_private=allow_private, timeout=httpx.Timeout(10), resolve=names)


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_never_called(address: str) -> None:
    with pytest.raises(ForbiddenAddress, match="not public"):
        check_url(f"https://{bracketed(address)}/hook", allow_private=False)
    async with client(Names([address])) as http:
        with pytest.raises(ForbiddenAddress, match="not public"):
            await http.post("https://hooks.example.com/x")


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_public_address_passes(address: str) -> None:
    check_url(f"https://{bracketed(address)}:8443/hook?x=1", allow_private=False)
    gate = AddressGate(allow_private=False, resolve=Names([address]))
    assert await gate.addresses("https://hooks.example.com/x") == [address]


@pytest.mark.parametrize("address", LEFT_ALONE)
async def test_some_addresses_are_not_called_in_development_either(address: str) -> None:
    gate = AddressGate(allow_private=True, resolve=Names([address]))
    with pytest.raises(ForbiddenAddress):
        await gate.addresses("http://hooks.example.com/x")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.7", "::ffff:127.0.0.1"])
async def test_development_may_call_its_own_network(address: str) -> None:
    check_url(f"http://{bracketed(address)}:4000/hook", allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "ftp://hooks.example.com/x",
        "https:///x",
        "hooks.example.com/x",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com@10.0.0.1/",
        "https://localhost/x",
        "https://printer.local/x",
        "https://metadata.google.internal/computeMetadata",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://exa mple/",
        "https://host:99999999/",
    ],
)
def test_what_can_be_told_of_a_url_is_told_at_once(url: str) -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        check_url(url, allow_private=False)
    assert refused.value.cure


@pytest.mark.parametrize(
    ("url", "helps"),
    [
        ("http://hooks.example.com/x", True),
        ("https://localhost/x", True),
        ("https://printer.local/x", True),
        ("https://127.0.0.1/x", True),
        ("https://10.0.0.7/x", True),
        ("https://[::1]/x", True),
        ("https://[::ffff:192.168.1.4]/x", True),
        ("https://169.254.169.254/x", False),
        ("https://0.0.0.0/x", False),
        ("ftp://hooks.example.com/x", False),
        ("https://user:password@hooks.example.com/", False),
    ],
)
def test_the_setting_that_would_allow_a_url_is_named(url: str, helps: bool) -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        check_url(url, allow_private=False)
    assert ("ALLOW_IT=true" in refused.value.cure_with("ALLOW_IT")) == helps


async def test_one_private_address_of_many_forbids_the_host() -> None:
    async with client(Names(["93.184.216.34", "10.0.0.5"])) as http:
        with pytest.raises(ForbiddenAddress):
            await http.post("https://hooks.example.com/x")


async def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """A name that answers otherwise at the second look is looked at once a request, no more."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    port = receiver.url.rpartition(":")[2]
    url = f"http://rebinding.example.com:{port}/ok"
    async with client(names, allow_private=True) as http:
        assert (await http.post(url)).status_code == 204
        assert names.looks == [("rebinding.example.com", int(port))]
        [came] = receiver.requests
        assert came.headers["host"] == f"rebinding.example.com:{port}"
        with pytest.raises(ForbiddenAddress):
            await http.post(url)
    assert len(receiver.requests) == 1


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    async with client(allow_private=True) as http:
        answer = await http.post(f"{receiver.url}/redirect")
    assert answer.status_code == 302
    assert [request.path for request in receiver.requests] == ["/redirect"]


async def test_the_further_addresses_of_a_host_are_tried(receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    names = Names(["127.0.0.2", "::1", "127.0.0.1", "127.0.0.1"])
    async with client(names, allow_private=True) as http:
        assert (await http.post(f"http://many.example.com:{port}/ok")).status_code == 204
    names = Names(["127.0.0.2", "::1"])
    async with client(names, allow_private=True) as http:
        with pytest.raises(httpx.ConnectError):
            await http.post(f"http://none.example.com:{port}/ok")
    assert len(receiver.requests) == 1


async def test_an_unknown_host_is_no_connection() -> None:
    async with client(Names([])) as http:
        with pytest.raises(httpx.ConnectError, match="cannot be resolved"):
            await http.post("https://nobody.example.com/x")


async def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with client(allow_private=True) as http:
        assert (await http.post(f"{receiver.url}/ok")).status_code == 204


# ── certificates ─────────────────────────────────────────────────────────────────────────────────


async def test_the_certificate_is_checked_against_the_name_not_the_address(
    tmp_path: Path,
) -> None:
    trusted = _certificate(tmp_path, "hooks.example.com")
    async with _https_server(tmp_path) as port:
        tls = ssl.create_default_context(cadata=trusted)
        async with outbound_client(
            allow_private=True,
            timeout=httpx.Timeout(10),
            resolve=Names(["127.0.0.1"]),
            tls=tls,
        ) as http:
            assert (await http.get(f"https://hooks.example.com:{port}/")).text == "hooks"
            # The same address under another name: no connection of the first one serves it.
            with pytest.raises(httpx.ConnectError, match="not valid for 'other"):
                await http.get(f"https://other.example.com:{port}/")


def _certificate(folder: Path, name: str) -> str:
    """Write a self-signed certificate with its key; returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "server.pem").write_bytes(pem + private)
    return pem.decode()


@asynccontextmanager
async def _https_server(folder: Path) -> AsyncGenerator[int]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.host.partition(".")[0])

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    try:
        yield port
    finally:
        await runner.cleanup()


def test_the_lists_above_are_addresses() -> None:
    for address in (*NOT_PUBLIC, *PUBLIC, *LEFT_ALONE):
        assert ipaddress.ip_address(address)
    assert socket.has_ipv6
