"""The environment of each process, built from scratch so that no key of the caller leaks in."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.layout.credentials import Credentials
from stack.layout.home import Home
from stack.layout.ports import Ports
from stack.layout.wanted import OUR_PARTS, Wanted

PASS_VARIABLE = "EVERLINE_PASS_ENV"
"""Comma-separated names of further variables of the caller that api, worker and agent get."""

# What programs need to know about the machine; never a credential.
_MACHINE = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
# Settings of Everline that a person may have set in the shell.
_AGENT_NAMES = frozenset({"AGENT_NAME", "LIVEKIT_AGENT_NAME"})
_OURS = (*_AGENT_NAMES, "LOG_LEVEL", "NODE_ENV")
_OUR_PREFIXES = ("EVERLINE_", "SUMMARISER")
_DEFAULTS = {
    "NODE_ENV": "development",
    "LOG_LEVEL": "INFO",
    "SUMMARISER": "extractive",
    # On one machine, stopping must not wait for callers to hang up.
    "EVERLINE_DRAIN_SECONDS": "3",
}
# For the stack and the command line, not for the processes of the stack.
_STACK_ONLY = (
    *(PASS_VARIABLE, "EVERLINE_HOME", "EVERLINE_STACK", "EVERLINE_WITHOUT"),
    *("EVERLINE_API_URL", "EVERLINE_API_KEY"),
)


class Addresses:
    """Addresses of a stack's servers on the same machine; `mongodb_uri` is None without one."""

    def __init__(self, ports: Ports, mongodb: bool = True) -> None:
        self.ports = ports
        self.api = f"http://127.0.0.1:{ports.api}"
        self.livekit = f"ws://127.0.0.1:{ports.livekit}"
        self.livekit_http = f"http://127.0.0.1:{ports.livekit}"
        self.temporal = f"127.0.0.1:{ports.temporal}"
        # Browsers treat `localhost` as a secure origin.
        self.temporal_ui = f"http://localhost:{ports.temporal_ui}"
        self.models = f"http://127.0.0.1:{ports.models}"
        # Direct, because the server claims to be a replica set.
        uri = f"mongodb://127.0.0.1:{ports.mongodb}/?directConnection=true"
        self.mongodb_uri = uri if mongodb else None


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first process starts.

    Attributes:
        binaries: The server binaries by program name.
        caller: The environment in which `everline up` was called.
    """

    home: Home
    credentials: Credentials
    addresses: Addresses
    binaries: Mapping[str, Path]
    wanted: Wanted
    caller: Mapping[str, str]


def machine_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """Return what every process gets: the machine's settings, and unbuffered output."""
    kept = {name: caller[name] for name in _MACHINE if name in caller}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def variables_for_a_stack(caller: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a caller of `everline up` that decide how its stack runs."""
    left_out = caller.get("EVERLINE_WITHOUT", "").strip()
    return _for_our_parts(caller) | ({"EVERLINE_WITHOUT": left_out} if left_out else {})


def build_environment(part: str, plan: Plan) -> dict[str, str]:
    """Return the whole environment of one process.

    The stack's own values (addresses, keys) override the variables of the caller of `everline up`;
    the wanted settings of this part override everything.
    """
    addresses, credentials, caller = plan.addresses, plan.credentials, plan.caller
    environment = machine_environment(caller)
    if part == "models":
        environment |= _chosen_by_caller(caller, ("EVERLINE_MODELS_",)) | {
            "EVERLINE_MODELS_HOST": "127.0.0.1",
            "EVERLINE_MODELS_PORT": str(addresses.ports.models),
        }
    elif part in OUR_PARTS:
        environment |= _DEFAULTS | {"EVERLINE_RECORDINGS_URL": plan.home.recordings.as_uri()}
        environment |= _for_our_parts(caller)
        if not environment.keys() & _AGENT_NAMES:
            environment["AGENT_NAME"] = "local-test"
        environment |= {
            "LIVEKIT_URL": addresses.livekit,
            "LIVEKIT_API_KEY": credentials.livekit_api_key,
            "LIVEKIT_API_SECRET": credentials.livekit_api_secret,
            "EVERLINE_CALLBACK_URL": addresses.api,
        }
    if part in ("api", "worker"):
        environment |= {
            "TEMPORAL_ADDRESS": addresses.temporal,
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_TASK_QUEUE": "everline",
            "EVERLINE_ENCRYPTION_KEYS": credentials.encryption_keys,
            "EVERLINE_CALLBACK_SECRET": credentials.callback_secret,
            "MONGODB_DATABASE": "everline",
        }
        if addresses.mongodb_uri:
            environment["MONGODB_URI"] = addresses.mongodb_uri
    if part == "api":
        environment |= {
            "PORT": str(addresses.ports.api),
            "HOST": "127.0.0.1",
            "AUTH_PROVIDER": "local",
            "EVERLINE_BOOTSTRAP_KEY_HASH": credentials.api_key_hash,
            "EVERLINE_BOOTSTRAP_ORG": "local",
            "EVERLINE_CODEC_SECRET": credentials.codec_secret,
            "TEMPORAL_UI_URL": addresses.temporal_ui,
        }
    given = plan.wanted.settings.get(part, {})
    if part == "agent":
        environment["EVERLINE_SPOOL_DIR"] = str(plan.home.spool)
        if "OPENAI_API_KEY" not in environment | given:
            local = {"OPENAI_BASE_URL": f"{addresses.models}/v1", "OPENAI_API_KEY": "local"}
            environment = local | environment
    if any(given.get(name) for name in _AGENT_NAMES):
        # Two names of one setting: the given one replaces both.
        environment = {name: environment[name] for name in environment.keys() - _AGENT_NAMES}
    return environment | given


def _for_our_parts(caller: Mapping[str, str]) -> dict[str, str]:
    passed = [name.strip() for name in caller.get(PASS_VARIABLE, "").split(",")]
    return _chosen_by_caller(caller, _OUR_PREFIXES, {*_OURS, *passed})


def _chosen_by_caller(
    caller: Mapping[str, str], prefixes: tuple[str, ...], names: Collection[str] = ()
) -> dict[str, str]:
    return {
        name: value
        for name, value in caller.items()
        if name not in _STACK_ONLY and (name.startswith(prefixes) or (value and name in names))
    }
