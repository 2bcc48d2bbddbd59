"""What docker-compose.yml promises, read from the file itself."""

import re
import tomllib
from itertools import pairwise

import yaml

from adapters.settings import AgentSettings
from api import main as api_main
from stack.binaries import LIVEKIT, TEMPORAL
from stack.layout import parts
from stack.layout.ports import Ports
from stack.models.settings import ModelsSettings
from tests.deploy.compose import (
    OURS,
    ROOT,
    Service,
    load_compose,
    seconds,
    variables_used,
)
from worker.shutdown import GRACEFUL_SHUTDOWN

COMPOSE = load_compose()
SERVICES = COMPOSE.services
LONG_RUNNING = {
    name: service for name, service in SERVICES.items() if service.restart == "unless-stopped"
}


def pinned(module: str) -> str:
    """The version of a Go module that the tested Temporal is built with."""
    text = (TEMPORAL.sources / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    assert found, module
    return found[1]


def project_version() -> str:
    """Everline's own version."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


# ── images ───────────────────────────────────────────────────────────────────────────────────────


def test_image_versions_are_those_that_the_tests_run_on() -> None:
    images = {name: service.image for name, service in SERVICES.items()}
    temporal = pinned("go.temporal.io/server")
    assert images["livekit"] == f"livekit/livekit-server:v{LIVEKIT.version}"
    assert images["temporal"] == f"temporalio/server:{temporal}"
    assert images["temporal-schema"].startswith(f"temporalio/admin-tools:{temporal}-")
    assert images["temporal-ui"] == f"temporalio/ui:{pinned('github.com/temporalio/ui-server/v2')}"
    assert {images[name] for name in (*OURS, "init", "temporal-setup")} == {
        f"everline:{project_version()}"
    }
    assert images["models"] == f"everline-models:{project_version()}"
    assert images["mongodb"] == images["mongodb-setup"]


def test_every_image_is_pinned_to_a_patch_release() -> None:
    for name, service in SERVICES.items():
        tag = service.image.rpartition(":")[2]
        assert "latest" not in tag, name
        assert re.match(r"v?\d+\.\d+", tag), f"{name}: {service.image}"


def test_the_gpl_voice_is_in_an_image_of_its_own() -> None:
    assert SERVICES["models"].build == {
        "context": ".",
        "dockerfile": "Dockerfile.models",
        "target": "models",
    }
    for name in (*OURS, "init"):
        assert SERVICES[name].build == {"context": ".", "target": "runtime"}
    assert "stack.txt" not in (ROOT / "Dockerfile").read_text()


# ── ports and names ──────────────────────────────────────────────────────────────────────────────


def test_ports_agree_with_the_defaults_of_the_code() -> None:
    published = [port for service in SERVICES.values() for port in service.ports]
    ports = Ports()
    assert f"127.0.0.1:{ports.api}:{ports.api}" in published
    assert f"127.0.0.1:{ports.temporal}:{ports.temporal}" in published
    assert f"127.0.0.1:{ports.temporal_ui}:8080" in published
    assert f"127.0.0.1:{ports.livekit}:{ports.livekit}" in published
    assert f"127.0.0.1:{ports.livekit_tcp}:{ports.livekit_tcp}" in published
    udp = str(ports.livekit_udp)
    assert f"127.0.0.1:{udp}:{udp}/udp" in published
    assert str(ports.models) == SERVICES["models"].environment["EVERLINE_MODELS_PORT"]
    assert ModelsSettings.model_fields["port"].default == ports.models


def test_nothing_is_offered_beyond_this_machine_unless_asked_for() -> None:
    for name, service in SERVICES.items():
        if not service.profiles:
            assert all(port.startswith("127.0.0.1:") for port in service.ports), name
    for name in ("mongodb", "postgres", "redis", "models"):
        assert SERVICES[name].ports == []


def test_names_agree_with_those_of_the_local_stack() -> None:
    for name in ("api", "worker"):
        environment = SERVICES[name].environment
        assert environment["TEMPORAL_NAMESPACE"] == parts.NAMESPACE
        assert environment["TEMPORAL_TASK_QUEUE"] == parts.TASK_QUEUE
        assert environment["MONGODB_DATABASE"] == "everline"
    sets = re.findall(r'_id: "(\w+)"', (ROOT / "deploy/compose/mongodb/replica-set.js").read_text())
    command = SERVICES["mongodb"].command or []
    assert sets == [command[command.index("--replSet") + 1]]
    assert SERVICES["api"].environment["MONGODB_URI"] == (
        f"mongodb://mongodb:27017/?replicaSet={sets[0]}"
    )


def test_temporal_is_tuned_as_the_local_one() -> None:
    tuned: dict[str, list[dict[str, object]]] = yaml.safe_load(
        (ROOT / "deploy/compose/temporal/dynamic.yaml").read_text()
    )
    words = parts._TEMPORAL_TUNING  # pyright: ignore[reportPrivateUsage]  # compared, not used
    given = {
        pair.partition("=")[0]: yaml.safe_load(pair.partition("=")[2])
        for option, pair in pairwise(words)
        if option == "--dynamic-config-value"
    }
    assert {name: values[0]["value"] for name, values in tuned.items()} == given


def test_every_host_that_is_named_is_a_service() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.environment.items():
            for host in re.findall(r"(?:^|//)([a-z][a-z-]*):\d+", value or ""):
                assert host in {*SERVICES, "localhost"}, f"{name}: {variable}={value}"


# ── start, health, end ───────────────────────────────────────────────────────────────────────────


def test_everything_that_keeps_running_has_a_health_check_a_limit_and_rotated_logs() -> None:
    for name, service in SERVICES.items():
        limits = service.deploy["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert {"max-size", "max-file"} <= service.logging["options"].keys(), name
    for name, service in LONG_RUNNING.items():
        assert service.healthcheck is not None, name
        assert service.stop_grace_period is not None, name


def test_the_start_order_goes_by_health() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.depends_on.items():
            condition = how["condition"]
            if needed not in LONG_RUNNING:
                assert condition == "service_completed_successfully", f"{name} needs {needed}"
            elif (name, needed) != ("mongodb-setup", "mongodb"):
                # That one makes it healthy.
                assert condition == "service_healthy", f"{name} needs {needed}"
    assert started_before("agent") >= {"init", "api", "livekit", "models", "temporal", "mongodb"}
    assert started_before("worker") >= {"init", "temporal-setup", "mongodb-setup", "livekit"}


def test_who_reads_the_settings_starts_again_when_they_change() -> None:
    databases = {"postgres"}
    for name, service in LONG_RUNNING.items():
        if "init" in service.depends_on and name not in databases:
            assert service.depends_on["init"].get("restart") is True, name


def started_before(name: str) -> set[str]:
    """All services that a service waits for, directly or not."""
    direct = set(SERVICES[name].depends_on)
    return direct.union(*(started_before(needed) for needed in direct))


def test_grace_periods_outlast_what_the_processes_do_at_their_end() -> None:
    def grace(name: str) -> float:
        return seconds(LONG_RUNNING[name].stop_grace_period or "0s")

    assert grace("api") > api_main.GRACEFUL_SHUTDOWN_SECONDS
    # All of its workers have the same grace, and end at the same time.
    assert grace("worker") > GRACEFUL_SHUTDOWN.total_seconds()
    drain = SERVICES["agent"].environment["EVERLINE_DRAIN_SECONDS"]
    assert grace("agent") >= int(drain or 0) + 60
    assert variables_used()["EVERLINE_AGENT_STOP_GRACE"] == "660s"


def test_certificates_are_fetched_also_without_an_address_for_mail() -> None:
    # An option without a value is an error to Caddy, an empty text is not.
    caddyfile = (ROOT / "deploy/compose/Caddyfile").read_text()
    assert 'email "{$EVERLINE_ACME_EMAIL}"' in caddyfile
    assert SERVICES["caddy"].environment["EVERLINE_ACME_EMAIL"] == ""


# ── .env.example ─────────────────────────────────────────────────────────────────────────────────


def example() -> dict[str, str]:
    """The settings in .env.example, all of them commented out."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [re.fullmatch(r"#([A-Z_]+)=(.*)", line) for line in lines]
    assert not [line for line in lines if line and not line.startswith("#")]
    return {match[1]: match[2] for match in found if match}


def test_the_example_names_every_variable_of_the_file() -> None:
    missing = variables_used().keys() - example().keys() - {"EVERLINE_VERSION"}
    assert missing == set()


def test_the_example_shows_the_defaults() -> None:
    given = example()
    for name, default in variables_used().items():
        if default and name in given and not name.startswith("EVERLINE_OWN_"):
            shown = given[name]
            assert shown == default or name == "EVERLINE_MEDIA_ADDRESS", name
    assert AgentSettings.model_fields["max_jobs"].default == int(given["EVERLINE_MAX_JOBS"])


def test_the_models_settings_can_all_be_given() -> None:
    given = set(SERVICES["models"].environment)
    assert given == {f"EVERLINE_MODELS_{name.upper()}" for name in ModelsSettings.model_fields}


def test_bundled_servers_can_be_left_out() -> None:
    compose = load_compose({"EVERLINE_OWN_TEMPORAL": "0", "EVERLINE_OWN_MODELS": "0"})
    left_out = {name for name, s in compose.services.items() if replicas(s) == 0}
    assert left_out == {
        "models",
        "postgres",
        "temporal",
        "temporal-schema",
        "temporal-setup",
        "temporal-ui",
    }


def replicas(service: Service) -> int:
    """How many containers of a service start."""
    return int(service.deploy.get("replicas", 1))
