"""Whether a port is free, and who holds it if not."""

import errno
import socket
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port.

    Attributes:
        pid: Its process id.
        command: Its command line, shortened to a line's length.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid}: {self.command}"


def is_free(port: int, *, udp: bool = False, address: str = "127.0.0.1") -> bool:
    """Tell whether a server of ours could listen on this port now.

    A TCP port counts as taken as well when something answers on either loopback address: some
    systems allow the bind beside a server that listens on all addresses, and clients would meet it.
    """
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as trial:
        if not udp:
            # As servers do: a port whose last connections are still fading is free.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as problem:
            if problem.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return udp or not any(_answers(loopback, port) for loopback in ("127.0.0.1", "::1"))


def _answers(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(0.2)
            return probe.connect_ex((address, port)) == 0
    except OSError:  # no IPv6 on this machine: nobody answers there
        return False


def find_holder(port: int, *, udp: bool = False) -> Holder | None:
    """Find who holds a port; nothing when the system does not let us see (another user's)."""
    try:
        sockets = psutil.net_connections(kind="udp" if udp else "tcp")
    except psutil.AccessDenied:  # macOS shows other processes' sockets to root alone
        return None
    for entry in sockets:
        listening = udp or entry.status == psutil.CONN_LISTEN
        if entry.laddr and entry.laddr.port == port and listening and entry.pid:
            return _describe(entry.pid)
    return None


def _describe(pid: int) -> Holder:
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:  # gone, or not ours to look at
        command = "unknown"
    return Holder(pid, command if len(command) <= 100 else f"{command[:97]}...")
