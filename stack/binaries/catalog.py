"""The servers, their supported versions, and their pinned sources."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Requirement:
    """A Go module of which a program needs a version without a known fault.

    Attributes:
        at_least: The first version without the fault.
        fault: What happens with an older one, as the end of a sentence.
    """

    module: str
    at_least: Version
    fault: str


@dataclass(frozen=True)
class Server:
    """A server binary.

    Attributes:
        name: Name of the program on PATH.
        title: Its name for display.
        version: The version that is built.
        package: The Go package of its program.
        at_least: The oldest supported version.
        below: The first unsupported version.
        variable: Environment variable with a binary to use, whatever its version.
        build_minutes: Duration of a build on two cores with nothing downloaded before.
        install: The official ways to install it instead.
    """

    name: str
    title: str
    version: str
    package: str
    at_least: Version
    below: Version
    variable: str
    build_minutes: int
    install: str
    requires: Requirement | None = None

    @property
    def sources(self) -> Path:
        """Folder of its `go.mod`, `go.sum` and `tools.go`."""
        return Path(__file__).parent / self.title.lower()

    @property
    def build_id(self) -> str:
        """Name of a build, which depends on the pins and the kind of machine."""
        digest = hashlib.sha256()
        for pin in ("go.mod", "go.sum", "tools.go"):
            digest.update((self.sources / pin).read_bytes())
        return f"{self.name}-{self.version}-{platform_name()}-{digest.hexdigest()[:8]}"


def platform_name() -> str:
    """Return system and processor as Go spells them, such as `linux-amd64`."""
    machine = platform.machine().lower()
    processor = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}-{processor}"


TEMPORAL = Server(
    name="temporal",
    title="Temporal",
    version="1.5.1",
    package="github.com/temporalio/cli/cmd/temporal",
    at_least=(1, 5, 1),
    below=(2, 0, 0),
    variable="EVERLINE_TEMPORAL_BINARY",
    build_minutes=6,
    install="curl -sSf https://temporal.download/cli.sh | sh   (or: brew install temporal)",
    # Temporal's server made the same upgrade: temporalio/temporal#9198.
    requires=Requirement(
        module="modernc.org/sqlite",
        at_least=(1, 44, 3),
        fault="a cancelled read can interrupt its database connection for good",
    ),
)

LIVEKIT = Server(
    name="livekit-server",
    title="LiveKit",
    version="1.13.5",
    package="github.com/livekit/livekit-server/cmd/server",
    # Sessions rely on features of 1.9: agent dispatch by name with the job's participant identity,
    # and a departure_timeout that does not count agents.
    at_least=(1, 9, 0),
    below=(2, 0, 0),
    variable="EVERLINE_LIVEKIT_BINARY",
    build_minutes=3,
    install="curl -sSL https://get.livekit.io | bash   (or: brew install livekit)",
)

SERVERS = (TEMPORAL, LIVEKIT)
