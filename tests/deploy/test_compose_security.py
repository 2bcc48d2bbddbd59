"""What containers may do, and where secrets are: nowhere in a file."""

import re
from pathlib import Path

import pytest

from tests.deploy.compose import OURS, ROOT, load_compose

COMPOSE = load_compose()
SERVICES = COMPOSE.services


def test_our_processes_have_no_rights() -> None:
    for name in (*OURS, "models", "livekit", "temporal-setup"):
        service = SERVICES[name]
        assert service.user == "10001:10001", name
        assert service.read_only, name
        assert service.cap_drop == ["ALL"], name
        assert service.cap_add == [], name
    init = SERVICES["init"]
    assert (init.cap_drop, init.cap_add) == (["ALL"], ["CHOWN"])
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service.security_opt, name


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
