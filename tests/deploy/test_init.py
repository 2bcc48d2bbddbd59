"""The init service: secrets once, settings to those that read them, faults by name."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.settings import ApiSettings, WorkerSettings
from tests.deploy.compose import ROOT, load_compose

SCRIPT = ROOT / "deploy/compose/init.py"
FOLDERS = (
    *("credentials", "api", "worker", "agent"),
    *("livekit", "postgres", "ui", "spool", "recordings"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volumes of a fresh installation."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    return tmp_path


def init(root: Path, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run the init service with the settings of a `.env`."""
    return run([sys.executable, str(SCRIPT), *words], root, given)


def run(
    command: list[str], root: Path, given: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "EVERLINE_INIT_ROOT": str(root),
        "EVERLINE_RUN_AS": f"{os.getuid()}:{os.getgid()}",
        **given,
    }
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def settings(root: Path, process: str) -> dict[str, str]:
    """The settings that were written for a process."""
    lines = (root / process / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def everything(root: Path) -> Mapping[str, str]:
    """All that was written."""
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_secrets_stay_the_same_and_are_in_no_log(root: Path) -> None:
    first = init(root)
    assert first.returncode == 0, first.stderr
    assert "docker compose run --rm init show-key" in first.stdout
    written = everything(root)
    second = init(root)
    assert second.returncode == 0, second.stderr
    assert everything(root) == written
    secrets = json.loads((root / "credentials/credentials.json").read_text()).values()
    for secret in (*secrets, (root / "postgres/password").read_text()):
        assert secret not in first.stdout + first.stderr + second.stdout + second.stderr


def test_an_operator_can_see_the_key(root: Path) -> None:
    early = init(root, "show-key")
    assert early.returncode == 2
    assert "docker compose up" in early.stderr
    assert everything(root) == {}
    init(root)
    written = everything(root)
    shown = init(root, "show-key")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == json.loads(written["credentials/credentials.json"])["api_key"]
    assert everything(root) == written


def test_volumes_that_have_the_owner_of_an_images_folder_can_be_written(root: Path) -> None:
    """Docker gives an empty volume that owner when it creates `api`: before `init` runs."""
    folders = [root / name for name in ("api", "worker", "agent")]
    command = [sys.executable, str(SCRIPT)]
    if os.geteuid() == 0:
        # Exactly what the service may do: nothing but CHOWN.
        command = ["setpriv", "--bounding-set", "-all,+chown", "--inh-caps", "-all", *command]
        for folder in folders:
            os.chown(folder, 10001, 10001)
    else:
        for folder in folders:
            folder.chmod(0o555)
    for _ in range(2):
        answer = run(command, root, {})
        assert answer.returncode == 0, answer.stderr
    assert all((folder / "settings.env").is_file() for folder in folders)


def test_two_installations_share_no_secret(root: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    for name in FOLDERS:
        (other / name).mkdir()
    init(root)
    init(other)
    for process in ("api", "worker", "agent"):
        here, there = settings(root, process), settings(other, process)
        assert here.keys() == there.keys()
        assert not set(here.values()) & set(there.values())


def test_each_process_gets_what_it_reads(root: Path) -> None:
    init(
        root,
        OPENAI_API_KEY="one",
        DEEPGRAM_API_KEY="two",
        HTTPS_PROXY="http://three",
        NO_PROXY="four",
        EVERLINE_PASS_ENV="HTTPS_PROXY",
    )
    api, worker, agent = (settings(root, name) for name in ("api", "worker", "agent"))
    assert agent.keys() == {
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
        "OPENAI_API_KEY",
        "DEEPGRAM_API_KEY",
        "HTTPS_PROXY",
    }
    assert "OPENAI_API_KEY" not in api
    assert worker["OPENAI_API_KEY"] == "one"
    assert "EVERLINE_BOOTSTRAP_KEY_HASH" not in worker
    livekit = json.loads((root / "livekit/livekit.json").read_text())
    assert livekit["keys"] == {agent["LIVEKIT_API_KEY"]: agent["LIVEKIT_API_SECRET"]}
    assert livekit["agents"] == {"target_load": 1.0}, "whoever has a place gets a job"
    endpoint = (root / "ui/codec-endpoint").read_text()
    assert endpoint == f"http://localhost:4000/codec/{api['EVERLINE_CODEC_SECRET']}"


def test_the_codec_endpoint_is_not_at_the_public_address(root: Path) -> None:
    public = {"EVERLINE_PUBLIC_URL": "https://api.example", "EVERLINE_API_PORT": "4100"}
    init(root, **public)
    assert (root / "ui/codec-endpoint").read_text().startswith("http://localhost:4100/codec/")
    init(root, **public, EVERLINE_CODEC_URL="https://internal.example/")
    assert (root / "ui/codec-endpoint").read_text().startswith("https://internal.example/codec/")


def test_every_setting_is_set_or_has_a_default(root: Path, monkeypatch: pytest.MonkeyPatch):
    init(root)
    services = load_compose().services
    for process, kind in (("api", ApiSettings), ("worker", WorkerSettings)):
        for name in os.environ:
            monkeypatch.delenv(name)
        given = services[process].environment | settings(root, process)
        for name, value in given.items():
            monkeypatch.setenv(name, value or "")
        for needed in (kind, *kind.also_needed()):
            needed(_env_file=None)  # pyright: ignore[reportCallIssue]  # an argument of every settings class


def test_what_is_given_wins_and_what_compose_decides_stays(root: Path) -> None:
    given = {"LIVEKIT_API_KEY": "mine", "LIVEKIT_API_SECRET": "s" * 32, "LOG_LEVEL": "DEBUG"}
    init(root, **given, PORT="1", HOST="example.com", POSTGRES_PASSWORD="p")
    api = settings(root, "api")
    assert api.items() >= given.items()
    assert not api.keys() & {"HOST", "PORT"}
    assert (root / "postgres/password").read_text() == "p"


@pytest.mark.parametrize(
    "given", [{"AUTH_PROVIDER": "pagos"}, {"EVERLINE_BOOTSTRAP_KEY_HASH": "0" * 64}]
)
def test_no_key_is_shown_when_it_is_not_in_use(root: Path, given: dict[str, str]) -> None:
    assert "show-key" not in init(root, **given).stdout
    shown = init(root, "show-key", **given)
    assert (shown.returncode, shown.stdout) == (2, "")


def test_secrets_are_for_their_readers_alone(root: Path) -> None:
    init(root)
    for name in ("credentials/credentials.json", "api/settings.env", "livekit/livekit.json"):
        assert (root / name).stat().st_mode & 0o077 == 0, name


def test_livekit_offers_the_addresses_of_its_place(root: Path) -> None:
    def rtc(**given: str) -> dict[str, object]:
        answer = init(root, **given)
        assert answer.returncode == 0, answer.stderr
        return json.loads((root / "livekit/livekit.json").read_text())["rtc"]

    ports = {"tcp_port": 7881, "udp_port": "7882-7885"}
    assert rtc() == ports | {"use_external_ip": False, "enable_loopback_candidate": True}
    assert rtc(EVERLINE_LIVEKIT_EXTERNAL_IP="true") == ports | {
        "use_external_ip": True,
        "advertise_internal_ip": True,
    }
    assert rtc(EVERLINE_LIVEKIT_NODE_IP="203.0.113.10") == ports | {
        "use_external_ip": False,
        "node_ip": "203.0.113.10",
    }


def test_another_livekit_is_where_callers_go_too(root: Path) -> None:
    cloud = {"LIVEKIT_URL": "wss://x.example", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}
    init(root, **cloud)
    assert settings(root, "api")["EVERLINE_LIVEKIT_PUBLIC_URL"] == "wss://x.example"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"LIVEKIT_API_KEY": "alone"}, "LIVEKIT_API_SECRET is not set"),
        ({"EVERLINE_LIVEKIT_TCP_PORT": "many"}, "EVERLINE_LIVEKIT_TCP_PORT is 'many'"),
        ({"EVERLINE_LIVEKIT_EXTERNAL_IP": "yes"}, "EVERLINE_LIVEKIT_EXTERNAL_IP is 'yes'"),
        (
            {"EVERLINE_LIVEKIT_EXTERNAL_IP": "true", "EVERLINE_LIVEKIT_NODE_IP": "1.2.3.4"},
            "exclude each other",
        ),
        ({"LOG_LEVEL": "IN\nFO"}, "LOG_LEVEL has a line break"),
    ],
)
def test_a_bad_value_is_named(root: Path, given: dict[str, str], named: str) -> None:
    answer = init(root, **given)
    assert answer.returncode == 2
    assert named in answer.stderr


def test_damaged_credentials_are_not_replaced(root: Path) -> None:
    (root / "credentials/credentials.json").write_text("{}")
    answer = init(root)
    assert answer.returncode == 2
    assert "damaged" in answer.stderr
    assert (root / "credentials/credentials.json").read_text() == "{}"
