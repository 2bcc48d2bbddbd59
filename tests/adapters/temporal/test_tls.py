"""Temporal behind TLS: authorities and certificates of one's own, API keys, and what is refused."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.settings import SettingsError, TemporalConnection, TemporalSettings, load
from adapters.temporal.client import connect, connect_for_setup, connect_lazily
from adapters.temporal.errors import temporal_error
from tests.fakes.tls_door import Authority, Signed, tls_door
from tests.servers import TemporalServer

API_KEY = "canary-api-key"


@dataclass
class Doors:
    """The test's Temporal behind TLS, and who is trusted there."""

    open: str
    mutual: str
    keyed: str
    ours: Authority
    strangers: Authority


@pytest.fixture
async def doors(temporal_server: TemporalServer, tmp_path: Path) -> AsyncGenerator[Doors]:
    ours, strangers = Authority(tmp_path, "ours"), Authority(tmp_path, "strangers")
    address, server = temporal_server.address, ours.sign("server")
    async with (
        tls_door(address, server, ours) as open_door,
        tls_door(address, server, ours, known_clients_alone=True) as mutual,
        tls_door(address, server, ours, api_key=API_KEY) as keyed,
    ):
        yield Doors(open_door, mutual, keyed, ours, strangers)


def settings(
    address: str, authority: Authority | None = None, client: Signed | None = None, key: str = ""
) -> TemporalSettings:
    return TemporalSettings.model_validate(
        {
            "temporal_address": address,
            "temporal_tls": "true",
            "temporal_tls_ca": str(authority.certificate) if authority else "",
            "temporal_tls_cert": str(client.certificate) if client else "",
            "temporal_tls_key": str(client.key) if client else "",
            "temporal_api_key": key,
            "livekit_api_secret": "s",
            "everline_encryption_keys": f"k1:{base64.b64encode(b'k' * 32).decode()}",
        }
    )


async def test_an_authority_of_ones_own_is_trusted(doors: Doors) -> None:
    client = await connect(settings(doors.open, doors.ours))
    assert (await client.count_workflows("WorkflowType = 'none'")).count == 0


async def test_temporal_knows_its_clients_by_their_certificates(doors: Doors) -> None:
    client = await connect(settings(doors.mutual, doors.ours, doors.ours.sign("client")))
    assert (await client.count_workflows("WorkflowType = 'none'")).count == 0


async def test_temporal_knows_its_clients_by_their_api_key(doors: Doors) -> None:
    for connected in (connect, connect_lazily, connect_for_setup):
        client = await connected(settings(doors.keyed, doors.ours, key=API_KEY))
        assert (await client.count_workflows("WorkflowType = 'none'")).count == 0


async def told(given: TemporalSettings) -> tuple[str, str]:
    """What a worker says that cannot connect, and what an API says at its first call."""
    with pytest.raises(RuntimeError) as of_worker:
        await connect(given)
    client = await connect_lazily(given)
    with pytest.raises(RuntimeError) as of_api:
        await client.count_workflows()
    worker, api = temporal_error(of_worker.value), temporal_error(of_api.value)
    assert (worker.message, worker.cure) == (api.message, api.cure)
    return worker.message, worker.cure or ""


async def test_a_wrong_authority_is_said_to_be_one(doors: Doors) -> None:
    for authority in (doors.strangers, None):
        message, cure = await told(settings(doors.open, authority))
        assert message.endswith("its certificate is not signed by a trusted authority")
        assert "TEMPORAL_TLS_CA" in cure


async def test_a_missing_or_foreign_certificate_is_said_to_be_one(doors: Doors) -> None:
    for client in (None, doors.strangers.sign("stranger")):
        message, cure = await told(settings(doors.mutual, doors.ours, client))
        assert message.endswith("it closes the connection")
        assert "TEMPORAL_TLS_CERT" in cure


async def test_a_missing_or_wrong_api_key_is_said_to_be_one(doors: Doors) -> None:
    for key in ("", "another"):
        message, cure = await told(settings(doors.keyed, doors.ours, key=key))
        assert message.endswith("it does not accept the API key")
        assert "TEMPORAL_API_KEY" in cure


async def test_one_side_without_tls_is_said_to_be_one(
    doors: Doors, temporal_server: TemporalServer
) -> None:
    _, cure = await told(settings(temporal_server.address, doors.ours))
    assert "unset TEMPORAL_TLS" in cure
    plain = settings(doors.open).model_copy(update={"temporal_tls": False})
    _, cure = await told(plain)
    assert "TEMPORAL_TLS if it requires TLS" in cure


# ── settings that cannot work ────────────────────────────────────────────────────────────────────


def faults(monkeypatch: pytest.MonkeyPatch, folder: Path, **given: str | Path) -> list[str]:
    """What `load` says, without its first line."""
    monkeypatch.chdir(folder)
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(SettingsError) as error:
        load(TemporalConnection)
    assert "canary" not in str(error.value)
    return [line.strip() for line in str(error.value).splitlines()[1:]]


@pytest.mark.parametrize("tls", ["", "false"])
def test_nothing_secret_goes_without_tls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls: str
) -> None:
    [fault] = faults(monkeypatch, tmp_path, TEMPORAL_API_KEY=API_KEY, TEMPORAL_TLS=tls)
    assert fault.startswith("TEMPORAL_API_KEY: needs TEMPORAL_TLS=true")


def test_an_authority_without_tls_would_be_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = Authority(tmp_path, "ours")
    [fault] = faults(monkeypatch, tmp_path, TEMPORAL_TLS_CA=ours.certificate)
    assert fault.startswith("TEMPORAL_TLS_CA: needs TEMPORAL_TLS=true")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    [fault] = faults(monkeypatch, tmp_path, TEMPORAL_TLS="true", TEMPORAL_TLS_CA=file)
    assert fault.startswith(f"TEMPORAL_TLS_CA: {file} cannot be read as a certificate")


def test_certificate_and_key_belong_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = Authority(tmp_path, "ours")
    one, other = ours.sign("one"), ours.sign("other")
    [alone] = faults(monkeypatch, tmp_path, TEMPORAL_TLS="true", TEMPORAL_TLS_CERT=one.certificate)
    assert alone.startswith("TEMPORAL_TLS_KEY: needs TEMPORAL_TLS_CERT")
    [wrong] = faults(monkeypatch, tmp_path, TEMPORAL_TLS_KEY=other.key)
    assert wrong.startswith(f"TEMPORAL_TLS_KEY: {other.key} and TEMPORAL_TLS_CERT")
