"""Whether a port is free, and which process holds it if not."""

import errno
import socket
from contextlib import suppress

import psutil


def is_free(port: int, *, udp: bool = False, address: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on this port now.

    A TCP port is also taken if something answers on either loopback address: some systems allow
    binding beside a server that listens on all addresses, and clients would reach that one.
    """
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as trial:
        if not udp:
            # As servers do: connections in TIME_WAIT do not count.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as problem:
            if problem.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return udp or not any(_answers(loopback, port) for loopback in ("127.0.0.1", "::1"))


def _answers(address: str, port: int) -> bool:
    # The error is also that of a machine without IPv6.
    with suppress(OSError), socket.create_connection((address, port), timeout=0.2):
        return True
    return False


def describe_holder(port: int, *, udp: bool = False) -> str:
    """Return process id and command line (shortened) of the process that holds a port."""
    # macOS shows the sockets of other users' processes only to root.
    with suppress(psutil.AccessDenied):
        for entry in psutil.net_connections(kind="udp" if udp else "tcp"):
            listening = udp or entry.status == psutil.CONN_LISTEN
            if entry.laddr and entry.laddr.port == port and listening and entry.pid:
                return f"pid {entry.pid}: {_command(entry.pid)}"
    return "a process that only its owner may see"


def _command(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:  # ended, or not accessible
        return "unknown"
    return command if len(command) <= 100 else f"{command[:97]}..."
