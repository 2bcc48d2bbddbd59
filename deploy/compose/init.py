"""Decides every setting before the first process starts: the `init` service of docker-compose.yml.

`.env` comes in as the environment. What is secret and not given there is generated once and kept in
a volume. Each process then gets a file with the settings that its own settings class reads, and no
others: the agent never sees the key that encrypts the histories. Safe to repeat.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

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
from stack.layout.files import write_atomically
from stack.layout.home import Home
from stack.layout.livekit_config import common_config

PROCESSES: Mapping[str, tuple[type[BaseSettings], ...]] = {
    "api": (ApiSettings, PagosSettings, LocalKeySettings),
    "worker": (WorkerSettings, OpenAISettings),
    "agent": (AgentSettings,),
}
"""The settings that each process reads; its folder has its name."""

DECIDED_BY_COMPOSE = frozenset({"HOST", "PORT", "EVERLINE_SPOOL_DIR"})
"""Part of the containers' arrangement: never taken from `.env`."""

PASS_VARIABLE = "EVERLINE_PASS_ENV"
"""Names of further variables for the agent worker, comma separated, which no setting reads."""

OWNER_VARIABLE = "EVERLINE_RUN_AS"

Say = Callable[[str], object]
"""Prints a text, which ends with a line break."""


class BadValue(Exception):
    """A value in `.env` cannot be used; the message names it."""


class Owner(NamedTuple):
    """The user that the processes run as."""

    uid: int
    gid: int


def main() -> int:
    """Write everything; returns the exit code."""
    root = Path(os.environ.get("EVERLINE_INIT_ROOT", "/run/everline"))
    given = {name: value for name, value in os.environ.items() if value}
    try:
        prepare(root, given, sys.stdout.write)
    except (BadValue, StackError) as problem:
        sys.stderr.write(f"everline init: {problem}\n")
        return 2
    return 0


def prepare(root: Path, given: Mapping[str, str], say: Say) -> None:
    """Write the files of all services below `root`, each in a folder (a volume) of its own.

    Raises:
        BadValue: a value in `given` cannot be used.
        StackError: the stored credentials are damaged.
    """
    owner = owner_of(given)
    home = Home(root / "credentials")
    first = read_credentials(home) is None
    credentials = load_credentials(home)
    values = decided(given, credentials)
    for process, kinds in PROCESSES.items():
        names = names_read(kinds)
        if process == "agent":
            names |= {name.strip() for name in given.get(PASS_VARIABLE, "").split(",")}
        text = env_file({name: values[name] for name in sorted(names & values.keys())})
        hand_over(root / process / "settings.env", text, owner)
    hand_over(root / "livekit" / "livekit.json", livekit_config(values), owner)
    own(root / "spool", owner)
    own(root / "recordings", owner)
    write_postgres_password(root / "postgres" / "password", given)
    default = f"http://localhost:{values.get('EVERLINE_API_PORT', '4000')}"
    public = values.get("EVERLINE_PUBLIC_URL", default).rstrip("/")
    endpoint = f"{public}/codec/{values['EVERLINE_CODEC_SECRET']}"
    # Read by users of other images; their volumes hold nothing else.
    write_atomically(root / "ui" / "codec-endpoint", endpoint)
    announce(say, given, credentials, first=first)


def decided(given: Mapping[str, str], credentials: Credentials) -> dict[str, str]:
    """Return every value: the given ones, and generated ones where none is given."""
    if given.keys() & {"LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"}:
        for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
            if name not in given:
                raise BadValue(f"{name} is not set; the key and its secret belong together")
    generated = {
        "LIVEKIT_API_KEY": credentials.livekit_api_key,
        "LIVEKIT_API_SECRET": credentials.livekit_api_secret,
        "EVERLINE_ENCRYPTION_KEYS": credentials.encryption_keys,
        "EVERLINE_CALLBACK_SECRET": credentials.callback_secret,
        "EVERLINE_CODEC_SECRET": credentials.codec_secret,
        "EVERLINE_BOOTSTRAP_KEY_HASH": credentials.api_key_hash,
    }
    values = generated | {k: v for k, v in given.items() if k not in DECIDED_BY_COMPOSE}
    if "LIVEKIT_URL" in given:
        # Another LiveKit than ours: callers reach it where we do, unless told otherwise.
        values.setdefault("EVERLINE_LIVEKIT_PUBLIC_URL", given["LIVEKIT_URL"])
    return values


def names_read(kinds: Iterable[type[BaseSettings]]) -> set[str]:
    """Return the environment variables that settings classes read."""
    names: set[str] = set()
    for kind in kinds:
        for field, info in kind.model_fields.items():
            alias = info.validation_alias
            choices = alias.choices if isinstance(alias, AliasChoices) else [field]
            names |= {choice.upper() for choice in choices if isinstance(choice, str)}
    return names


def env_file(values: Mapping[str, str]) -> str:
    """Return the file that the image's entrypoint reads: one NAME=value a line, nothing quoted."""
    for name, value in values.items():
        if "\n" in value:
            raise BadValue(f"{name} has a line break; write it in one line")
    return "".join(f"{name}={value}\n" for name, value in values.items())


def livekit_config(values: Mapping[str, str]) -> str:
    """Return LiveKit's configuration (JSON, which is YAML too)."""
    key, secret = values["LIVEKIT_API_KEY"], values["LIVEKIT_API_SECRET"]
    api = values.get("EVERLINE_CALLBACK_URL", "http://api:4000")
    config = common_config(key, secret, api) | {
        "port": 7880,
        "redis": {"address": values.get("EVERLINE_REDIS_ADDRESS", "redis:6379")},
        "rtc": {
            "tcp_port": port(values, "EVERLINE_LIVEKIT_TCP_PORT", "7881"),
            "udp_port": values.get("EVERLINE_LIVEKIT_UDP_PORTS", "7882-7885"),
            **addresses(values),
        },
        "logging": {"level": "info", "json": True},
    }
    return json.dumps(config, indent=2)


def addresses(values: Mapping[str, str]) -> dict[str, object]:
    """Return the addresses at which LiveKit offers media; see docs/how-to/deployment.md."""
    node_ip = values.get("EVERLINE_LIVEKIT_NODE_IP")
    external = values.get("EVERLINE_LIVEKIT_EXTERNAL_IP", "false")
    if external not in ("true", "false"):
        raise BadValue(f"EVERLINE_LIVEKIT_EXTERNAL_IP is {external!r}; it is true or false")
    if node_ip and external == "true":
        raise BadValue(
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


def port(values: Mapping[str, str], name: str, default: str) -> int:
    """Return a port number."""
    text = values.get(name, default)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise BadValue(f"{name} is {text!r}; it is a port number")
    return int(text)


def write_postgres_password(path: Path, given: Mapping[str, str]) -> None:
    """Write the password of Temporal's database; a generated one stays the same."""
    password = given.get("POSTGRES_PASSWORD")
    if password is None and path.exists():
        return
    write_atomically(path, password or secrets.token_urlsafe(32))


def owner_of(given: Mapping[str, str]) -> Owner:
    """Return whom the files of the processes belong to."""
    uid, _, gid = given.get(OWNER_VARIABLE, "10001:10001").partition(":")
    if not uid.isdecimal() or not gid.isdecimal():
        raise BadValue(f"{OWNER_VARIABLE} is {uid}:{gid}; it is a number, a colon and a number")
    return Owner(int(uid), int(gid))


def hand_over(path: Path, text: str, owner: Owner) -> None:
    """Write a file that its owner alone can read."""
    take(path.parent)
    write_atomically(path, text, private=True)
    own(path, owner)


def take(folder: Path) -> None:
    """Make a volume's folder writable for this process.

    An empty volume gets the owner of the folder that an image has in its place, as soon as a
    container with it is created; and root with no capability but CHOWN cannot write there.
    """
    os.chown(folder, os.geteuid(), os.getegid())
    folder.chmod(0o755)


def own(path: Path, owner: Owner) -> None:
    """Give a file or folder to its owner."""
    os.chown(path, owner.uid, owner.gid)


def announce(say: Say, given: Mapping[str, str], credentials: Credentials, *, first: bool) -> None:
    """Show the bootstrap key once: at the first start, if it is the one in use."""
    pagos = given.get("AUTH_PROVIDER", "local") == "pagos"
    if pagos or "EVERLINE_BOOTSTRAP_KEY_HASH" in given:
        say("everline init: settings written; API keys are yours to give out\n")
    elif first:
        say(f"everline init: your API key (shown once): {credentials.api_key}\n")
    else:
        say("everline init: settings written; the API key is the one of the first start\n")


if __name__ == "__main__":
    sys.exit(main())
