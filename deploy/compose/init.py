"""Decides every setting before the first process starts: the `init` service of docker-compose.yml.

Its input is `.env`, as environment variables. Secrets that are missing there are generated once and
kept in a volume. Each process then gets a file with only the settings that its own settings class
reads: the agent never sees the key that encrypts the histories. Safe to repeat.

`init.py show-key` prints the API key instead. Otherwise no secret is printed, because container
engines keep what a service prints.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from adapters.settings import (
    AgentSettings,
    ApiSettings,
    LocalKeySettings,
    OpenAISettings,
    PagosSettings,
    WorkerSettings,
)
from stack.errors import StackError
from stack.layout.credentials import Credentials, load_credentials, read_credentials
from stack.layout.environment import PASS_VARIABLE
from stack.layout.files import write_atomically
from stack.layout.home import Home
from stack.layout.livekit_config import common_config

PROCESSES: Mapping[str, tuple[type[BaseSettings], ...]] = {
    "api": (ApiSettings, PagosSettings, LocalKeySettings),
    "worker": (WorkerSettings, OpenAISettings),
    "agent": (AgentSettings,),
}
"""The settings that each process reads; its folder has its name."""

SET_BY_COMPOSE = frozenset({"HOST", "PORT", "EVERLINE_SPOOL_DIR"})
"""Fixed by docker-compose.yml: never taken from `.env`."""

SHOW_KEY = "show-key"
HOW_TO_SHOW = f"docker compose run --rm init {SHOW_KEY}"

Owner = tuple[int, int]
"""User id and group id that the processes run as."""


def main() -> int:
    """Write everything, or show the API key; returns the exit code."""
    root = Path(os.environ.get("EVERLINE_INIT_ROOT", "/run/everline"))
    given = {name: value for name, value in os.environ.items() if value}
    try:
        if sys.argv[1:] == [SHOW_KEY]:
            sys.stdout.write(f"{_api_key(root, given)}\n")
            return 0
        message = _prepare(root, given)
    except StackError as problem:
        sys.stderr.write(f"everline init: {problem}\n")
        return 2
    sys.stdout.write(f"everline init: {message}\n")
    return 0


def _api_key(root: Path, given: Mapping[str, str]) -> str:
    """Return the generated API key.

    Raises:
        StackError: There is none, or it is not in use.
    """
    if _manages_keys(given):
        raise StackError("AUTH_PROVIDER or EVERLINE_BOOTSTRAP_KEY_HASH is set: the key is yours")
    credentials = read_credentials(Home(root / "credentials"))
    if credentials is None:
        raise StackError("there is no API key yet; start the system first: docker compose up -d")
    return credentials.api_key


def _manages_keys(given: Mapping[str, str]) -> bool:
    """Return whether the operator has other API keys, so that the generated one is not used."""
    return given.get("AUTH_PROVIDER", "local") == "pagos" or "EVERLINE_BOOTSTRAP_KEY_HASH" in given


def _prepare(root: Path, given: Mapping[str, str]) -> str:
    """Write the files of all services below `root`, each in a folder (a volume) of its own.

    Returns:
        What to tell the operator. It is kept in the container's log, so it holds no secret.

    Raises:
        StackError: A value in `given` cannot be used, or the stored credentials are damaged.
    """
    owner = _parse_owner(given.get("EVERLINE_RUN_AS", "10001:10001"))
    home = Home(root / "credentials")
    credentials = load_credentials(home)
    values = _merge(given, credentials)
    for process, kinds in PROCESSES.items():
        names = _names_read(kinds)
        if process == "agent":
            names |= {name.strip() for name in given.get(PASS_VARIABLE, "").split(",")}
        text = _env_file({name: values[name] for name in sorted(names & values.keys())})
        _write_private(root / process / "settings.env", text, owner)
    _write_private(root / "livekit" / "livekit.json", _livekit_config(values), owner)
    for folder in ("spool", "recordings"):
        os.chown(root / folder, *owner)
    password = root / "postgres" / "password"
    if "POSTGRES_PASSWORD" in given or not password.exists():
        write_atomically(password, given.get("POSTGRES_PASSWORD") or secrets.token_urlsafe(32))
    # Where an operator's browser reaches the API, which is not its public address: Caddy does not
    # publish the codec endpoint.
    default = f"http://localhost:{values.get('EVERLINE_API_PORT', '4000')}"
    url = values.get("EVERLINE_CODEC_URL", default).rstrip("/")
    # Read by users of other images; their volumes hold nothing else.
    endpoint = f"{url}/codec/{values['EVERLINE_CODEC_SECRET']}"
    write_atomically(root / "ui" / "codec-endpoint", endpoint)
    if "EVERLINE_PUBLIC_URL" in given and "EVERLINE_CODEC_URL" not in given:
        sys.stdout.write("EVERLINE_PUBLIC_URL is no setting any more; see EVERLINE_CODEC_URL\n")
    if _manages_keys(given):
        return "settings written; you manage the API keys yourself"
    return f"settings written; to see the API key: {HOW_TO_SHOW}"


def _merge(given: Mapping[str, str], credentials: Credentials) -> dict[str, str]:
    """Return every value: the given ones, and generated ones where none is given."""
    pair = {"LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"}
    if len(pair & given.keys()) == 1:
        (missing,) = pair - given.keys()
        raise StackError(f"{missing} is not set; the key and its secret belong together")
    generated = {
        "LIVEKIT_API_KEY": credentials.livekit_api_key,
        "LIVEKIT_API_SECRET": credentials.livekit_api_secret,
        "EVERLINE_ENCRYPTION_KEYS": credentials.encryption_keys,
        "EVERLINE_CALLBACK_SECRET": credentials.callback_secret,
        "EVERLINE_CODEC_SECRET": credentials.codec_secret,
        "EVERLINE_BOOTSTRAP_KEY_HASH": credentials.api_key_hash,
    }
    values = generated | {k: v for k, v in given.items() if k not in SET_BY_COMPOSE}
    if "LIVEKIT_URL" in given:
        # An external LiveKit: callers use the same address, unless told otherwise.
        values.setdefault("EVERLINE_LIVEKIT_PUBLIC_URL", given["LIVEKIT_URL"])
    return values


def _names_read(kinds: Iterable[type[BaseSettings]]) -> set[str]:
    """Return the environment variables that settings classes read."""
    names: set[str] = set()
    for kind in kinds:
        for field, info in kind.model_fields.items():
            alias = info.validation_alias
            choices = alias.choices if isinstance(alias, AliasChoices) else [field]
            names |= {choice.upper() for choice in choices if isinstance(choice, str)}
    return names


def _env_file(values: Mapping[str, str]) -> str:
    """Return the file that the image's entrypoint reads: one NAME=value a line, nothing quoted."""
    for name, value in values.items():
        if "\n" in value:
            raise StackError(f"{name} has a line break; write it in one line")
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _livekit_config(values: Mapping[str, str]) -> str:
    """Return LiveKit's configuration (JSON, which is YAML too)."""
    key, secret = values["LIVEKIT_API_KEY"], values["LIVEKIT_API_SECRET"]
    api = values.get("EVERLINE_CALLBACK_URL", "http://api:4000")
    port = values.get("EVERLINE_LIVEKIT_TCP_PORT", "7881")
    if not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise StackError(f"EVERLINE_LIVEKIT_TCP_PORT is {port!r}; it must be a port number")
    config = common_config(key, secret, api) | {
        "port": 7880,
        "redis": {"address": values.get("EVERLINE_REDIS_ADDRESS", "redis:6379")},
        "rtc": {
            "tcp_port": int(port),
            "udp_port": values.get("EVERLINE_LIVEKIT_UDP_PORTS", "7882-7885"),
            **_media_addresses(values),
        },
        "logging": {"level": "info", "json": True},
    }
    return json.dumps(config, indent=2)


def _media_addresses(values: Mapping[str, str]) -> dict[str, object]:
    """Return the addresses at which LiveKit offers media; see docs/how-to/deployment.md."""
    node_ip = values.get("EVERLINE_LIVEKIT_NODE_IP")
    external = values.get("EVERLINE_LIVEKIT_EXTERNAL_IP", "false")
    if external not in ("true", "false"):
        raise StackError(f"EVERLINE_LIVEKIT_EXTERNAL_IP is {external!r}; it must be true or false")
    if node_ip and external == "true":
        raise StackError(
            "EVERLINE_LIVEKIT_NODE_IP and EVERLINE_LIVEKIT_EXTERNAL_IP exclude each other: one"
            " gives the public address, the other asks a STUN server for it; set one of them"
        )
    if node_ip:
        return {"use_external_ip": False, "node_ip": node_ip}
    if external == "true":
        # The agent worker is on the containers' network and stays on it.
        return {"use_external_ip": True, "advertise_internal_ip": True}
    # The host reaches the published ports at 127.0.0.1, the agent worker the container itself.
    return {"use_external_ip": False, "enable_loopback_candidate": True}


def _parse_owner(text: str) -> Owner:
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or not gid.isdecimal():
        raise StackError(f"EVERLINE_RUN_AS is {text!r}; write two numbers as UID:GID")
    return int(uid), int(gid)


def _write_private(path: Path, text: str, owner: Owner) -> None:
    """Write a file that only its owner can read."""
    # Docker gives an empty volume the owner of the folder that the image has there, as soon as a
    # container with it is created. Root with no capability but CHOWN cannot write to such a folder.
    os.chown(path.parent, os.geteuid(), os.getegid())
    path.parent.chmod(0o755)
    write_atomically(path, text, private=True)
    os.chown(path, *owner)


if __name__ == "__main__":
    sys.exit(main())
