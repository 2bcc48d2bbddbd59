"""Pages of a long list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page.

    Attributes:
        items: the readable items.
        next: the cursor of the following page; None on the last page.
    """

    items: list[Item]
    next: str | None
