"""The environment of each process, built from nothing: no key of the caller's slips in."""

from collections.abc import Mapping
from dataclasses import dataclass

from stack.layout.credentials import Credentials
from stack.layout.home import Home
from stack.layout.ports import Ports
from stack.layout.wanted import Wanted

PASS_VARIABLE = "EVERLINE_PASS_ENV"
"""Names of further variables of the caller that reach api, worker and agent, comma separated."""

# What programs need of the machine itself: never a credential.
_MACHINE = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
# Settings of ours that a person sets in a shell and expects to have an effect.
_AGENT_NAMES = frozenset({"AGENT_NAME", "LIVEKIT_AGENT_NAME"})
_OURS = (*_AGENT_NAMES, "LOG_LEVEL", "NODE_ENV")
_OUR_PREFIXES = ("EVERLINE_", "SUMMARISER")
_DEFAULTS = {
    "NODE_ENV": "development",
    "LOG_LEVEL": "INFO",
    "SUMMARISER": "extractive",
    # A person who stops the stack does not want to wait for callers to hang up.
    "EVERLINE_DRAIN_SECONDS": "3",
}
# Of the stack itself, not of its processes.
_STACK_ONLY = (PASS_VARIABLE, "EVERLINE_HOME", "EVERLINE_STACK", "EVERLINE_WITHOUT")


@dataclass(frozen=True)
class Addresses:
    """Where each server of a stack is reached from the same machine.

    Attributes:
        ports: The ports of the stack.
        mongodb: Whether there is an archive at all.
    """

    ports: Ports
    mongodb: bool = True

    @property
    def api(self) -> str:
        """The API, as processes and agents reach it."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def livekit(self) -> str:
        """LiveKit, in the form that clients get."""
        return f"ws://127.0.0.1:{self.ports.livekit}"

    @property
    def livekit_http(self) -> str:
        """LiveKit's HTTP API."""
        return f"http://127.0.0.1:{self.ports.livekit}"

    @property
    def temporal(self) -> str:
        """Temporal's front-end."""
        return f"127.0.0.1:{self.ports.temporal}"

    @property
    def temporal_ui(self) -> str:
        """Temporal's UI; `localhost`, because a browser takes that for a secure origin."""
        return f"http://localhost:{self.ports.temporal_ui}"

    @property
    def models(self) -> str:
        """The local speech and chat models."""
        return f"http://127.0.0.1:{self.ports.models}"

    @property
    def mongodb_uri(self) -> str | None:
        """The archive; direct, because the server says of itself that it is a replica set."""
        if not self.mongodb:
            return None
        return f"mongodb://127.0.0.1:{self.ports.mongodb}/?directConnection=true"


def machine_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """Return what every process gets: the machine's own settings, output unbuffered."""
    kept = {name: caller[name] for name in _MACHINE if name in caller}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def build_environment(
    part: str,
    home: Home,
    credentials: Credentials,
    addresses: Addresses,
    wanted: Wanted,
    caller: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of one process.

    What the stack decides (addresses, keys) wins over the caller's variables; what was given for
    this part alone wins over everything.

    Args:
        part: Name of the process.
        home: The stack's home.
        credentials: The stack's keys.
        addresses: Where its servers are.
        wanted: Settings given to single parts.
        caller: The environment that `everline up` was called in.
    """
    environment = machine_environment(caller)
    if part == "models":
        environment |= _with_prefix(caller, ("EVERLINE_MODELS_",))
        environment |= {
            "EVERLINE_MODELS_HOST": "127.0.0.1",
            "EVERLINE_MODELS_PORT": str(addresses.ports.models),
        }
    if part in _BUILDERS:
        environment |= _DEFAULTS | {"EVERLINE_RECORDINGS_URL": home.recordings.as_uri()}
        environment |= _callers_choice(caller)
        environment |= _livekit(credentials, addresses)
        environment |= _BUILDERS[part](home, credentials, addresses)
    given = wanted.settings.get(part, {})
    if any(given.get(name) for name in _AGENT_NAMES):
        # Two spellings of one setting: the one that is given replaces the other as well.
        environment = {name: environment[name] for name in environment.keys() - _AGENT_NAMES}
    return environment | given


def _callers_choice(caller: Mapping[str, str]) -> dict[str, str]:
    names = [name.strip() for name in caller.get(PASS_VARIABLE, "").split(",")]
    chosen = {name: caller[name] for name in (*_OURS, *names) if caller.get(name)}
    chosen |= _with_prefix(caller, _OUR_PREFIXES)
    if not chosen.keys() & _AGENT_NAMES:
        chosen["AGENT_NAME"] = "local-test"
    return chosen


def _with_prefix(caller: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in caller.items()
        if name.startswith(prefixes) and name not in _STACK_ONLY
    }


def _livekit(credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    return {
        "LIVEKIT_URL": addresses.livekit,
        "LIVEKIT_API_KEY": credentials.livekit_api_key,
        "LIVEKIT_API_SECRET": credentials.livekit_api_secret,
        "EVERLINE_CALLBACK_URL": addresses.api,
    }


def _durable(credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    archive = {"MONGODB_URI": addresses.mongodb_uri} if addresses.mongodb_uri else {}
    return {
        "TEMPORAL_ADDRESS": addresses.temporal,
        "TEMPORAL_NAMESPACE": "default",
        "TEMPORAL_TASK_QUEUE": "everline",
        "EVERLINE_ENCRYPTION_KEYS": credentials.encryption_keys,
        "EVERLINE_CALLBACK_SECRET": credentials.callback_secret,
        "MONGODB_DATABASE": "everline",
        **archive,
    }


def _api(home: Home, credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    return _durable(credentials, addresses) | {
        "PORT": str(addresses.ports.api),
        "HOST": "127.0.0.1",
        "AUTH_PROVIDER": "local",
        "EVERLINE_BOOTSTRAP_KEY_HASH": credentials.api_key_hash,
        "EVERLINE_BOOTSTRAP_ORG": "local",
        "EVERLINE_CODEC_SECRET": credentials.codec_secret,
        "TEMPORAL_UI_URL": addresses.temporal_ui,
    }


def _worker(home: Home, credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    return _durable(credentials, addresses)


def _agent(home: Home, credentials: Credentials, addresses: Addresses) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{addresses.models}/v1",
        "OPENAI_API_KEY": "local",
        "EVERLINE_SPOOL_DIR": str(home.spool),
    }


_BUILDERS = {"api": _api, "worker": _worker, "agent": _agent}
