"""The check before a start: every port is free, or the message says who holds it and what to do."""

from collections.abc import Collection

from stack.errors import StackError
from stack.layout.ports import SETTINGS, PortRange, Ports, PortSetting
from stack.layout.sockets import find_holder, is_free


def require_free_ports(ports: Ports, parts: Collection[str]) -> None:
    """Make sure that every port of these parts can be listened on.

    Args:
        ports: The chosen ports.
        parts: Names of the processes that are going to start.

    Raises:
        StackError: Lists every port that is taken, its holder, and how to choose another.
    """
    taken = [
        _explain(setting, port)
        for setting in SETTINGS
        if setting.part in parts
        for port in _numbers(ports, setting)
        if not _is_free(setting, port)
    ]
    if taken:
        raise StackError(
            "\n".join(taken) + "\nA second stack beside another one picks free ports by itself: "
            "everline --home .everline-2 up --free-ports"
        )


def _numbers(ports: Ports, setting: PortSetting) -> list[int]:
    value: int | PortRange = getattr(ports, setting.field)
    return list(value.numbers()) if isinstance(value, PortRange) else [value]


def _is_free(setting: PortSetting, port: int) -> bool:
    # LiveKit offers no address for its TCP media port: it listens on all of them.
    everywhere = setting.field == "livekit_tcp"
    return is_free(port, udp=setting.udp) and (not everywhere or is_free(port, address=""))


def _explain(setting: PortSetting, port: int) -> str:
    holder = find_holder(port, udp=setting.udp)
    protocol = "UDP port" if setting.udp else "Port"
    example = f"{port + 100}-{port + 103}" if setting.udp else str(port + 100)
    return (
        f"{protocol} {port} ({setting.purpose}) is taken by "
        f"{holder or 'a process that only its owner may see'}. "
        f"Stop that process, or choose another: everline up {setting.option} {example} "
        f"(or {setting.variable}={example})."
    )
