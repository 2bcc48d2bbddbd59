"""docker-compose.yml as Compose reads it: anchors merged, variables put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = ("api", "worker", "agent")
"""The services that run Everline's own processes."""

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\}")


class HealthCheck(BaseModel):
    """A service's health check."""

    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str | None = None


class Service(BaseModel):
    """What the tests look at of a service."""

    model_config = ConfigDict(extra="allow")

    image: str
    build: dict[str, str] | None = None
    command: list[str] | None = None
    entrypoint: list[str] | None = None
    environment: dict[str, str | None] = {}
    env_file: list[dict[str, Any]] = []
    ports: list[str] = []
    volumes: list[str] = []
    tmpfs: list[str] = []
    networks: list[str] = ["default"]
    network_mode: str | None = None
    depends_on: dict[str, dict[str, Any]] = {}
    healthcheck: HealthCheck | None = None
    profiles: list[str] = []
    restart: str
    user: str | None = None
    read_only: bool = False
    cap_drop: list[str] = []
    cap_add: list[str] = []
    security_opt: list[str] = []
    logging: dict[str, Any] = {}
    stop_grace_period: str | None = None
    deploy: dict[str, Any] = {}


class Compose(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="allow")

    name: str
    services: dict[str, Service]
    networks: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any]]


def load_compose(variables: Mapping[str, str] | None = None) -> Compose:
    """Read the file with the values of a `.env`; without one, with the defaults alone."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return Compose.model_validate(interpolated(document, variables or {}))


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """Put variables into all texts of a document; every one has to have a default."""
    if isinstance(node, dict):
        items = cast(dict[str, Any], node).items()
        return {name: interpolated(value, variables) for name, value in items}
    if isinstance(node, list):
        return [interpolated(value, variables) for value in cast(list[Any], node)]
    return _put_in(node, variables) if isinstance(node, str) else node


def _put_in(text: str, variables: Mapping[str, str]) -> str:

    def value(match: re.Match[str]) -> str:
        default = match["default"]
        assert default is not None, f"{match[0]} has no default: `docker compose up` alone fails"
        return variables.get(match["name"]) or default

    return _VARIABLE.sub(value, text)


def variables_used() -> dict[str, str]:
    """The variables of the file with their defaults."""
    found = _VARIABLE.finditer(FILE.read_text(encoding="utf-8"))
    return {match["name"]: match["default"] or "" for match in found}


def seconds(duration: str) -> float:
    """A duration in Compose's spelling, such as `660s`."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # pyright: ignore[reportOptionalMemberAccess]  # a failed match fails the test
    return int(number) * {"s": 1, "m": 60}[unit]
