"""The home of a stack: the folder with everything that it keeps."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class Home:
    """The folder of one stack (`EVERLINE_HOME`), an absolute path; two stacks never share one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Held by the supervisor while it lives.
        self.lock = root / "supervisor.lock"
        # What is running; only the supervisor writes it.
        self.state = root / "state.json"
        # The chosen ports, kept because open sessions contain its addresses.
        self.ports = root / "ports.json"
        # The desired state: parts to leave out, and settings of single parts.
        self.wanted = root / "wanted.json"
        self.credentials = root / "credentials.json"
        self.temporal_database = root / "temporal.db"
        self.mongodb_data = root / "mongodb"
        # Turns and reports that the API has not accepted yet.
        self.spool = root / "spool"
        self.recordings = root / "recordings"
        self.livekit_config = root / "livekit.json"
        # Always empty: keeps the server from reading a configuration found elsewhere.
        self.mongodb_config = root / "mongodb.toml"

    def log(self, name: str) -> Path:
        """Return the log file of a process, or of the `supervisor`."""
        return self.root / "logs" / f"{name}.log"

    def create(self) -> None:
        """Create the folder, closed to other users and ignored by git.

        Raises:
            StackError: It cannot be created or written to.
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
    """Return the home in the given folder, else in `EVERLINE_HOME`, else in `.everline`.

    The default is at the root of the checkout, so that all its subfolders use the same stack; an
    installed Everline uses the working directory.
    """
    if given is None and environ.get("EVERLINE_HOME"):
        given = Path(environ["EVERLINE_HOME"])
    if given is None:
        base = CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
        given = base / ".everline"
    return Home(given.expanduser().resolve())


def create_in_cache(folder: Path) -> None:
    """Create a folder of the cache, with those above it.

    Raises:
        StackError: It cannot be created or written to; naming the variable for another place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        raise StackError(
            f"the cache folder {folder} cannot be written to: {problem.strerror}. "
            "Name another place: XDG_CACHE_HOME=/path"
        ) from None


def find_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's cache folder for what all clones share: server binaries and tools."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "everline"
