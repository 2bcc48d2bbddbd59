"""Checks before a start that every port is free."""

from collections.abc import Collection

from stack.errors import StackError
from stack.layout.ports import SETTINGS, PortRange, Ports, PortSetting
from stack.layout.sockets import describe_holder, is_free


def require_free_ports(ports: Ports, parts: Collection[str]) -> None:
    """Make sure that the ports of the given parts are free.

    Raises:
        StackError: Lists every port that is taken, who holds it, and how to choose another.
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
            "\n".join(taken) + "\nTo run a second stack beside another one, let it pick free "
            "ports: everline --home .everline-2 up --free-ports"
        )


def _numbers(ports: Ports, setting: PortSetting) -> Collection[int]:
    value: int | PortRange = getattr(ports, setting.field)
    return [value] if isinstance(value, int) else value.numbers()


def _is_free(setting: PortSetting, port: int) -> bool:
    # LiveKit listens for TCP media on all addresses; there is no setting for it.
    everywhere = setting.field == "livekit_tcp"
    return is_free(port, udp=setting.udp) and (not everywhere or is_free(port, address=""))


def _explain(setting: PortSetting, port: int) -> str:
    protocol = "UDP port" if setting.udp else "Port"
    example = f"{port + 100}-{port + 103}" if setting.udp else str(port + 100)
    return (
        f"{protocol} {port} ({setting.purpose}) is taken by "
        f"{describe_holder(port, udp=setting.udp)}. "
        f"Stop that process, or choose another: everline up {setting.option} {example} "
        f"(or {setting.variable}={example})."
    )
