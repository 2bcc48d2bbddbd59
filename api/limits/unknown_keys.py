"""How often one address may send API keys that nobody has.

Each of them costs a request to MongoDB or to the account service. A key cannot be found by
guessing, but the guesses must not take those services away from everybody else.
"""

import hashlib
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from domain.errors import TooManyRequests
from services.access.rate_limits import RequestRates

PER_SECOND = 1.0
"""Unknown keys that are looked up for one address in the long run."""
BURST = 30
MOST_KNOWN = 10_000
"""Valid keys remembered, by their hashes; they work whatever else their address sends."""
_IPV6_SITE = 64
"""Bits of an IPv6 address that name a network; one client may use all addresses of its own."""

Name = TypeVar("Name")
Value = TypeVar("Value")


class UnknownKeys:
    """Counts the unknown keys of each address, in this process."""

    def __init__(
        self, clock: Callable[[], float], per_second: float = PER_SECOND, burst: int = BURST
    ) -> None:
        """Allow `per_second` unknown keys, 0 for any number; `clock` tells monotonic seconds."""
        self._clock = clock
        self._rates = RequestRates(per_second, burst, clock)
        self._refused_until: OrderedDict[str, float] = OrderedDict()
        self._valid: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, key: str) -> None:
        """Refuse to look a key up, unless it was valid before.

        Raises:
            TooManyRequests: the address has sent too many unknown keys.
        """
        wait = self._refused_until.get(_site(address), 0.0) - self._clock()
        if wait > 0 and _digest(key) not in self._valid:
            raise TooManyRequests(
                "this address sends too many API keys that are not known",
                cure="wait for Retry-After seconds, and send a valid key",
                retry_after=math.ceil(wait),
            )

    def note_unknown(self, address: str) -> None:
        """Count a key that nobody has."""
        site = _site(address)
        try:
            self._rates.take(site)
        except TooManyRequests as error:
            until = self._clock() + (error.retry_after or 1)
            _remember(self._refused_until, site, until)

    def note_valid(self, key: str) -> None:
        """Remember a key that works."""
        _remember(self._valid, _digest(key), None)


def _remember(entries: OrderedDict[Name, Value], name: Name, value: Value) -> None:
    entries.pop(name, None)
    entries[name] = value
    if len(entries) > MOST_KNOWN:
        entries.popitem(last=False)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _site(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.ip_network((parsed, _IPV6_SITE), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
