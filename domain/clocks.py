"""Differences between the clocks of machines, and what to say of them.

A time that one process wrote and another one reads is compared with care: a wrong clock must not
look like a wrong key or a dead process.
"""

from collections.abc import Mapping
from typing import Protocol

from domain.errors import Unauthenticated

TOLERATED_SECONDS = 30.0
"""Clocks that are kept by NTP differ by less than a second; a larger difference than this is one
that people have to know of."""
CLOCK_CURE = "synchronise the clocks of all machines with NTP, for example by chrony"

_UNITS = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0))


class Clock(Protocol):
    """The clock of another machine."""

    async def ahead(self) -> float | None:
        """Seconds by which it is ahead of this machine's; negative if behind, None if unknown.

        Bounded in time; raises nothing.
        """
        ...


class ClockSkew(Unauthenticated):
    """Signed with a genuine key, but at a time that is not now (HTTP 401)."""

    code = "clock_skew"

    def __init__(self, whose: str, ahead: float, field: str) -> None:
        super().__init__(f"{described(whose, ahead)}, it seems", field=field, cure=CLOCK_CURE)
        self.ahead = ahead


def differs(ahead: float | None) -> bool:
    """Whether a clock is known to differ by more than is tolerated."""
    return ahead is not None and abs(ahead) > TOLERATED_SECONDS


def correction(ahead: float | None) -> float:
    """Seconds to add to this machine's time, to have the other's; 0 if they about agree."""
    return ahead if ahead is not None and differs(ahead) else 0.0


def described(whose: str, ahead: float, than: str = "this machine's") -> str:
    """A difference in words: `LiveKit's clock is 10 min ahead of this machine's`."""
    seconds = abs(ahead)
    unit, size = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), ("s", 1.0))
    relation = "ahead of" if ahead > 0 else "behind"
    return f"{whose}'s clock is {seconds / size:.0f} {unit} {relation} {than}"


def differences(ahead: Mapping[str, float | None], than: str = "this machine's") -> list[str]:
    """Those that differ, in words, by name of the machine."""
    return [
        described(whose, seconds, than)
        for whose, seconds in ahead.items()
        if seconds is not None and differs(seconds)
    ]
