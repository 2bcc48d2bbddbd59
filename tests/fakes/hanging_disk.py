"""A disk that hangs, as far as one file of it is concerned."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hanging(file: Path) -> Generator[None]:
    """Let whoever opens this file to write wait, in the kernel, until the block is over."""
    os.mkfifo(file)
    try:
        yield
    finally:
        reader = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        file.unlink()
        os.close(reader)
