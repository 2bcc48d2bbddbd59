"""What containers may do, and where secrets are: nowhere in a file."""

import re
from pathlib import Path
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tests.deploy.compose import OURS, ROOT, load_compose

COMPOSE = load_compose()
SERVICES = COMPOSE.services


AS_ROOT = {"init": ["CHOWN"], "caddy": ["NET_BIND_SERVICE"]}
"""The services that run as root, and the only capability of each."""
OURS_TOO = (*OURS, "models", "livekit", "temporal-setup")
"""These have no user of their image's."""


def test_no_service_has_rights_that_it_does_not_need() -> None:
    for name, service in SERVICES.items():
        assert service.read_only, name
        assert service.cap_drop == ["ALL"], name
        assert service.cap_add == AS_ROOT.get(name, []), name
        assert service.security_opt == ["no-new-privileges:true"], name
        assert service.model_extra is not None
        assert not service.model_extra.keys() & {"privileged", "pid", "ipc", "devices"}, name
        if name not in AS_ROOT:
            uid, _, gid = (service.user or "0:0").partition(":")
            assert int(uid) > 0, name
            assert int(gid) > 0, name
    assert {SERVICES[name].user for name in OURS_TOO} == {"10001:10001"}


def test_what_a_service_writes_to_is_limited() -> None:
    for name, service in SERVICES.items():
        limits = service.deploy["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        for mount in service.tmpfs:
            assert "size=" in mount, f"{name}: {mount}"
            assert "mode=1777" in mount, f"{name}: {mount}"


# ── networks ─────────────────────────────────────────────────────────────────────────────────────

REACHED_BY = {
    "temporal": {
        *("api", "worker", "temporal-setup", "temporal-ui"),
        *("postgres", "temporal-schema"),
    },
    "temporal-ui": {"api", "worker", "temporal-setup", "temporal"},
    "postgres": {"temporal", "temporal-schema"},
    "mongodb": {"api", "worker", "mongodb-setup"},
    "redis": {"livekit"},
    "models": {"agent", "worker"},
}
"""By each server without a login, or with one that several others know."""


def networks_of(name: str) -> set[str]:
    """The networks of a service."""
    service = SERVICES[name]
    return set() if service.network_mode == "none" else set(service.networks)


def neighbours(name: str) -> set[str]:
    """The services that share a network with one."""
    networks = networks_of(name)
    return {other for other in SERVICES if networks & networks_of(other)} - {name}


@pytest.mark.parametrize("server", REACHED_BY)
def test_a_server_without_a_login_is_reached_only_by_its_clients(server: str) -> None:
    assert neighbours(server) == REACHED_BY[server]


def test_init_has_no_network() -> None:
    assert SERVICES["init"].network_mode == "none"


def test_every_service_shares_a_network_with_the_hosts_that_it_names() -> None:
    for name, service in SERVICES.items():
        values = [*(service.environment.values()), *(service.command or [])]
        for value in values:
            for host in re.findall(r"(?:^|//|@)([a-z][a-z-]*):\d+", value or ""):
                assert host in {*neighbours(name), name, "localhost"}, f"{name} needs {host}"


def test_only_what_needs_the_outside_can_reach_it() -> None:
    inside = {name for name, how in COMPOSE.networks.items() if how.get("internal")}
    assert set[str]().union(*map(networks_of, SERVICES)) == COMPOSE.networks.keys()
    for name in REACHED_BY.keys() - {"temporal", "temporal-ui"}:
        assert set(SERVICES[name].networks) <= inside, name
    # A published port needs a network that is not internal.
    for name, service in SERVICES.items():
        if service.ports:
            assert set(service.networks) - inside, name


# ── Caddy ────────────────────────────────────────────────────────────────────────────────────────


def test_caddy_does_not_publish_the_codec_endpoint() -> None:
    """Caddy tries `handle` blocks in their order, and takes the first that matches."""
    text = (ROOT / "deploy/compose/Caddyfile").read_text(encoding="utf-8")
    site = text.partition("{$EVERLINE_API_HOST} {")[2].partition("\n}\n")[0]
    matcher = re.search(r"@codec path (.+)", site)
    assert matcher
    assert matcher[1].split() == ["/codec", "/codec/*"]
    refusal = re.search(r"handle @codec \{\s*respond 404\s*\}", site)
    assert refusal
    assert refusal.end() < site.index("reverse_proxy")
    assert text.count("reverse_proxy api:4000") == 1


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("172.18.0.5", "203.0.113.9", "203.0.113.9"),
        ("172.18.0.5", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("172.18.0.5", "", "172.18.0.5"),
    ],
)
async def test_the_api_believes_its_own_proxy_who_asks(peer: str, told: str, client: str) -> None:
    trusted = SERVICES["api"].environment["FORWARDED_ALLOW_IPS"]
    seen: list[Any] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", told.encode())] if told else []
    scope: Any = {"type": "http", "client": (peer, 1), "headers": headers}
    nothing: Any = None
    await ProxyHeadersMiddleware(app, trusted_hosts=trusted or "")(scope, nothing, nothing)
    assert seen == [client]


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────


def test_each_process_gets_its_own_settings_and_no_others() -> None:
    mounts = {name: service.volumes for name, service in SERVICES.items()}
    for name in OURS:
        assert f"{name}-settings:/run/everline:ro" in mounts[name]
        assert SERVICES[name].env_file == []
    for name, volumes in mounts.items():
        reads = {volume.partition(":")[0] for volume in volumes}
        if name != "init":
            assert "credentials" not in reads, name
            others = {f"{other}-settings" for other in OURS if other != name}
            assert not reads & others, name


def test_every_volume_that_is_mounted_is_declared_and_used() -> None:
    named = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.volumes
        if not volume.startswith(".")
    }
    assert named == set(COMPOSE.volumes)


def test_no_container_makes_a_volume_without_a_name() -> None:
    """`docker compose down` leaves those behind, two more each time."""
    images = {
        "mongo": {"/data/db", "/data/configdb"},
        "postgres": {"/var/lib/postgresql/data"},
        "redis": {"/data"},
    }
    for name, service in SERVICES.items():
        mounted = {text.split(":")[1] for text in service.volumes}
        mounted |= {text.split(":")[0] for text in service.tmpfs}
        assert images.get(service.image.partition(":")[0], set()) <= mounted, name


def test_files_that_are_mounted_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.volumes:
            if volume.startswith("."):
                assert (ROOT / volume.partition(":")[0]).exists(), volume


SECRET_NAMES = re.compile(r"SECRET|PASSWORD$|PWD$|TOKEN$|_KEYS?$|HASH$")
PLACEHOLDERS = {"OPENAI_API_KEY": "local"}
"""Values that open nothing: the bundled models ask for no key."""


def test_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.environment.items():
            if SECRET_NAMES.search(variable):
                assert value == PLACEHOLDERS.get(variable), f"{name}: {variable}"


def tracked_files() -> list[Path]:
    """All files of the deployment."""
    return [
        ROOT / "docker-compose.yml",
        ROOT / "Dockerfile",
        ROOT / "Dockerfile.models",
        ROOT / ".env.example",
        *sorted(path for path in (ROOT / "deploy/compose").rglob("*") if path.suffix != ".pyc"),
    ]


@pytest.mark.parametrize("path", [path for path in tracked_files() if path.is_file()], ids=str)
def test_no_file_holds_anything_that_looks_like_a_key(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # 32 and more characters of mixed kind in one word: what generated secrets look like.
    for word in re.findall(r"[A-Za-z0-9+_-]{32,}", text):
        mixed = re.search(r"[a-z]", word) and re.search(r"[A-Z]", word) and re.search(r"\d", word)
        assert not mixed, word
    assert not re.search(r"sk-[A-Za-z0-9]{16}|AKIA[0-9A-Z]{16}|-----BEGIN", text)
