"""A part of something long that is walked over, one look after the other."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """What one look takes in.

    Attributes:
        items: those that can be read.
        next: what the following ones stand behind; None after the last.
    """

    items: list[Item]
    next: str | None
