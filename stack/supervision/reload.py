"""Finds the parts whose code was edited, for `everline up --reload`."""

from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import (
    PythonFilter,
    awatch,  # pyright: ignore[reportUnknownVariableType]  # mentions trio's types
)

_SHARED = ("domain", "services", "workflows", "activities", "adapters")
SOURCES = {"api": (*_SHARED, "api"), "worker": (*_SHARED, "worker")}
"""The packages that each part imports. Agents are not reloaded: that would cut off calls."""


async def changed_parts(root: Path) -> AsyncGenerator[list[str]]:
    """Yield the parts to restart whenever Python files below `root` change.

    Simultaneous changes, such as those of a `git checkout`, are yielded once.
    """
    names = {name for packages in SOURCES.values() for name in packages}
    folders = {folder: name for name in sorted(names) if (folder := root / name).is_dir()}
    async for changes in awatch(*folders, watch_filter=PythonFilter()):
        files = [Path(file) for _, file in changes]
        changed = {
            name for folder, name in folders.items() if any(f.is_relative_to(folder) for f in files)
        }
        yield [part for part, packages in SOURCES.items() if changed.intersection(packages)]
