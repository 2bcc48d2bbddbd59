"""Which servers there are, which versions fit, and where their pinned sources stand."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, int, int]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Requirement:
    """A module that a program must have been built with in a version without a known fault.

    Attributes:
        module: Path of the Go module.
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
        name: Name of the program, as it stands on PATH.
        title: What people call it.
        version: The version that is built.
        package: The Go package of its program.
        at_least: The oldest version on PATH that is taken.
        below: The first version that is not.
        variable: Environment variable that names a binary to be taken whatever its version.
        build_minutes: How long a build takes on two cores with nothing downloaded before.
        install: The official ways to install it instead.
        requires: A module that its program needs in a sound version.
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
        return _HERE / self.folder

    @property
    def folder(self) -> str:
        """Name of the folder with its pins."""
        return "temporal" if self.name == "temporal" else "livekit"

    @property
    def build_id(self) -> str:
        """Name of a build: the same pins on the same kind of machine give the same name."""
        digest = hashlib.sha256()
        for pin in ("go.mod", "go.sum", "tools.go"):
            digest.update((self.sources / pin).read_bytes())
        return f"{self.name}-{self.version}-{platform_name()}-{digest.hexdigest()[:8]}"

    def fits(self, version: Version) -> bool:
        """Tell whether a version found on PATH may be used."""
        return self.at_least <= version < self.below


def platform_name() -> str:
    """Return system and processor in Go's spelling, such as `linux-amd64`."""
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
    # Temporal's server made the same step: temporalio/temporal#9198.
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
    # 1.9 brought what a session relies on: agent dispatch by name with the job's participant
    # identity, and departure_timeout counted without agents.
    at_least=(1, 9, 0),
    below=(2, 0, 0),
    variable="EVERLINE_LIVEKIT_BINARY",
    build_minutes=3,
    install="curl -sSL https://get.livekit.io | bash   (or: brew install livekit)",
)

SERVERS = (TEMPORAL, LIVEKIT)
