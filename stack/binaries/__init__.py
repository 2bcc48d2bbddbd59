"""The servers written in Go: found on PATH, or built once from pinned modules for all clones."""

from stack.binaries.catalog import LIVEKIT, SERVERS, TEMPORAL, Server
from stack.binaries.locate import locate_server, locate_servers

__all__ = ["LIVEKIT", "SERVERS", "TEMPORAL", "Server", "locate_server", "locate_servers"]
