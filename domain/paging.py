"""Pages of a long list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page, with its readable items."""

    items: list[Item]
    next: str | None
    """The cursor of the following page; None on the last page."""
