"""The ports of one stack: chosen once, remembered, and checked before a start."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stack.errors import StackError
from stack.layout.files import write_atomically
from stack.layout.home import Home
from stack.layout.sockets import describe_holder, is_free

Port = Annotated[int, Field(ge=1, le=65535)]


class PortRange(BaseModel):
    """UDP ports, first and last included; LiveKit needs one per processor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Port
    last: Port

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        """Accept `7882-7885` and a single port."""
        if not isinstance(value, str):
            return value
        first, _, last = value.partition("-")
        return {"first": first, "last": last or first}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"{self.first} is above {self.last}")
        return self

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def numbers(self) -> range:
        """Return every port of the range."""
        return range(self.first, self.last + 1)


class Ports(BaseModel):
    """Every port that one stack listens on, all on the loopback address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api: Port = 4000
    temporal: Port = 7233
    temporal_ui: Port = 8233
    livekit: Port = 7880
    livekit_tcp: Port = 7881
    livekit_udp: PortRange = PortRange(first=7882, last=7885)
    mongodb: Port = 27017
    models: Port = 4010

    @model_validator(mode="after")
    def _no_port_twice(self) -> Self:
        fields: defaultdict[int, list[str]] = defaultdict(list)
        for setting in SETTINGS:
            if not setting.udp:
                fields[getattr(self, setting.field)].append(setting.field)
        for port, names in fields.items():
            if len(names) > 1:
                raise ValueError(f"port {port} is given for both {names[0]} and {names[1]}")
        return self


@dataclass(frozen=True)
class PortSetting:
    """How a port can be set.

    Attributes:
        field: Its field in `Ports`.
        part: The process that listens on it.
        purpose: What it is for, in messages.
        udp: Whether it is a range of UDP ports.
    """

    field: str
    part: str
    purpose: str
    udp: bool = False

    @property
    def option(self) -> str:
        """The option of `everline up`."""
        return f"--{self.field.replace('_', '-')}-{'ports' if self.udp else 'port'}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"EVERLINE_{self.field.upper()}_{'PORTS' if self.udp else 'PORT'}"


SETTINGS = (
    PortSetting("api", "api", "API"),
    PortSetting("temporal", "temporal", "Temporal"),
    PortSetting("temporal_ui", "temporal", "Temporal UI"),
    PortSetting("livekit", "livekit", "LiveKit"),
    PortSetting("livekit_tcp", "livekit", "LiveKit media over TCP"),
    PortSetting("livekit_udp", "livekit", "LiveKit media over UDP", udp=True),
    PortSetting("mongodb", "mongodb", "MongoDB"),
    PortSetting("models", "models", "local speech and chat models"),
)


def choose_ports(
    options: Mapping[str, int | str | None],
    environ: Mapping[str, str],
    remembered: Ports | None,
    *,
    pick_free: bool = False,
) -> Ports:
    """Choose each port: the option, else the environment, else the remembered one, else a default.

    `options` are the values of the command line by field of `Ports` (None if not given), and
    `remembered` are the ports of this stack's last run. Without those, `pick_free` replaces the
    defaults by free ports. `PORT` also sets the API's.

    Raises:
        StackError: A value is not a port, or a port is used twice.
    """
    if remembered is None:
        remembered = _pick_free() if pick_free else Ports()
    chosen: dict[str, object] = remembered.model_dump()
    messages: dict[str, str] = {}
    for setting in SETTINGS:
        source, value = f"{setting.option} ({setting.variable})", options.get(setting.field)
        for variable in (setting.variable, *(("PORT",) if setting.field == "api" else ())):
            if value is None and environ.get(variable):
                source, value = variable, environ[variable]
        if value is not None:
            chosen[setting.field] = value
            form = "a range of ports such as 7882-7885" if setting.udp else "a port (1-65535)"
            messages[setting.field] = f"{source}: {value!r} is not {form}"
    try:
        return Ports.model_validate(chosen)
    except ValidationError as invalid:
        # Only the error of `_no_port_twice` has no location.
        faults = [
            messages[str(error["loc"][0])]
            if error["loc"]
            else error["msg"].removeprefix("Value error, ")
            for error in invalid.errors()
        ]
        raise StackError("\n".join(dict.fromkeys(faults))) from None


# Below the ephemeral ports, so that no outgoing connection takes one of them first.
_FREE_FIRST, _FREE_LAST = 20000, 29000


def _pick_free() -> Ports:
    """Find a free port for everything, apart from the defaults of other stacks."""
    taken: set[int] = set()

    def pick(count: int = 1) -> int:
        for _ in range(1000):
            first = random.randrange(_FREE_FIRST, _FREE_LAST)
            block = range(first, first + count)
            if taken.isdisjoint(block) and all(is_free(p) and is_free(p, udp=True) for p in block):
                taken.update(block)
                return first
        raise StackError(f"no {count} free ports between {_FREE_FIRST} and {_FREE_LAST}")

    udp = pick(2)
    return Ports(
        livekit_udp=PortRange(first=udp, last=udp + 1),
        **{setting.field: pick() for setting in SETTINGS if not setting.udp},
    )


def require_free_ports(ports: Ports, parts: Collection[str]) -> None:
    """Make sure that the ports of the given parts are free.

    Raises:
        StackError: Lists every port that is taken, who holds it, and how to choose another.
    """
    taken: list[str] = []
    for setting in SETTINGS:
        if setting.part not in parts:
            continue
        # LiveKit listens for TCP media on all addresses; there is no setting for it.
        address = "" if setting.field == "livekit_tcp" else "127.0.0.1"
        value: int | PortRange = getattr(ports, setting.field)
        for port in [value] if isinstance(value, int) else value.numbers():
            if not is_free(port, udp=setting.udp, address=address):
                taken.append(_explain(setting, port))
    if taken:
        raise StackError(
            "\n".join(taken) + "\nTo run a second stack beside another one, let it pick free "
            "ports: everline --home .everline-2 up --free-ports"
        )


def _explain(setting: PortSetting, port: int) -> str:
    protocol = "UDP port" if setting.udp else "Port"
    example = f"{port + 100}-{port + 103}" if setting.udp else str(port + 100)
    return (
        f"{protocol} {port} ({setting.purpose}) is taken by "
        f"{describe_holder(port, udp=setting.udp)}. "
        f"Stop that process, or choose another: everline up {setting.option} {example} "
        f"(or {setting.variable}={example})."
    )


def read_ports(home: Home) -> Ports | None:
    """Return the ports that this stack chose, or None if it never started.

    Raises:
        StackError: The file is damaged.
    """
    if not home.ports.exists():
        return None
    try:
        return Ports.model_validate_json(home.ports.read_text(encoding="utf-8"))
    except ValidationError as problem:
        raise StackError(
            f"{home.ports} is damaged; remove it and give the ports again.\n{problem}"
        ) from None


def remember_ports(home: Home, ports: Ports) -> None:
    """Store the choice: open sessions and agents keep these addresses over a restart."""
    write_atomically(home.ports, ports.model_dump_json(indent=2))
