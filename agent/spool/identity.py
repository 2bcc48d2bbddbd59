"""The id of a spool's disk, which tells whether its recordings are in reach or lost."""

import os
import uuid
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger(__name__)

_FILE = ".id"


def spool_id(spool: Path) -> str | None:
    """The directory's persistent id, created on first use.

    None if the disk cannot be used: calls and heartbeats continue without it.
    """
    try:
        return _known_id(spool)
    except OSError as error:
        log.error("spool_without_id", error=str(error))
        return None


def _known_id(spool: Path) -> str:
    file = spool / _FILE
    if not file.exists():
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = spool / f"{_FILE}-{uuid.uuid4().hex}"
        scratch.write_text(uuid.uuid4().hex)
        try:
            # A link appears complete, and never replaces another process's file.
            os.link(scratch, file)
        except FileExistsError:
            pass
        finally:
            scratch.unlink()
    return file.read_text()
