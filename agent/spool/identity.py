"""The name of a spool's disk, by which its recordings are known to be within reach or lost."""

import os
import uuid
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger(__name__)

_FILE = ".id"


def spool_id(spool: Path) -> str | None:
    """An id that stays with this directory, whoever works in it; made by who asks first.

    None if the disk does not take it: calls go on without, and so do heartbeats.
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
            # Complete from the first moment, and never replaced by another process's.
            os.link(scratch, file)
        except FileExistsError:
            pass
        finally:
            scratch.unlink()
    return file.read_text()
