"""Where one stack keeps everything it owns: its home folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Home:
    """The folder of one stack (`EVERLINE_HOME`); two stacks never share one.

    Attributes:
        root: Absolute path of the folder.
    """

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "supervisor.lock"

    @property
    def state(self) -> Path:
        """What runs right now, written by the supervisor alone."""
        return self.root / "state.json"

    @property
    def ports(self) -> Path:
        """The ports this stack chose; kept, because open sessions carry its addresses."""
        return self.root / "ports.json"

    @property
    def wanted(self) -> Path:
        """Which parts are to be left out, as last asked for."""
        return self.root / "wanted.json"

    @property
    def credentials(self) -> Path:
        """Keys and secrets generated for this stack, readable by its owner alone."""
        return self.root / "credentials.json"

    @property
    def temporal_database(self) -> Path:
        """Temporal's SQLite file."""
        return self.root / "temporal.db"

    @property
    def mongodb_data(self) -> Path:
        """Storage folder of the MongoDB-compatible server."""
        return self.root / "mongodb"

    @property
    def spool(self) -> Path:
        """Where the agent keeps turns and reports that the API has not taken yet."""
        return self.root / "spool"

    @property
    def recordings(self) -> Path:
        """Where recordings of calls are kept."""
        return self.root / "recordings"

    @property
    def livekit_config(self) -> Path:
        """LiveKit's generated configuration; holds its key."""
        return self.root / "livekit.json"

    @property
    def mongodb_config(self) -> Path:
        """Empty on purpose: keeps the server from reading a configuration found elsewhere."""
        return self.root / "mongodb.toml"

    def log(self, name: str) -> Path:
        """Return the log file of a process, or of the `supervisor`."""
        return self.root / "logs" / f"{name}.log"

    def create(self) -> None:
        """Create the folder, closed to other users, with a marker that keeps it out of git.

        Raises:
            StackError: It cannot be made or written to.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / "logs").mkdir(exist_ok=True)
            self.spool.mkdir(exist_ok=True)
            (self.root / ".gitignore").write_text("*\n")
        except OSError as problem:
            raise StackError(
                f"{self.root} cannot be the stack's folder: {problem.strerror} "
                f"({problem.filename}). Name another one: EVERLINE_HOME=/path, or --home"
            ) from None


def find_home(environ: Mapping[str, str] = os.environ, given: Path | None = None) -> Home:
    """Resolve the home: the given folder, else `EVERLINE_HOME`, else `.everline`.

    The default stands at the root of the checkout, so that every folder of it means the same
    stack; an installed Everline uses the working directory.
    """
    if given is None and environ.get("EVERLINE_HOME"):
        given = Path(environ["EVERLINE_HOME"])
    if given is None:
        base = CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
        given = base / ".everline"
    return Home(given.expanduser().resolve())


def find_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's cache folder for what all clones share: server binaries and tools."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "everline"
