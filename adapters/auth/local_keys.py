"""API keys without an account service: one bootstrap key, and those stored in MongoDB."""

import hashlib
import hmac
import re
import secrets
import string
from typing import NamedTuple

from typing_extensions import override

from domain.access.ports import ApiKeys
from domain.access.principal import Principal

_ALPHABET = string.ascii_letters + string.digits
_PREFIX_CHARS = 8
_SECRET_CHARS = 43
"""So many letters and digits have 256 bits."""
_FORM = re.compile(r"evk_([A-Za-z0-9]{1,64})_([A-Za-z0-9_-]{16,256})")

BOOTSTRAP_USER = "bootstrap"


class NewKey(NamedTuple):
    """A new key; it is shown once and stored as a hash."""

    key: str
    prefix: str
    """Names the key in lists and logs; not secret."""


def new_key() -> NewKey:
    """A random key, `evk_<prefix>_<secret>`."""
    prefix = _random(_PREFIX_CHARS)
    return NewKey(f"evk_{prefix}_{_random(_SECRET_CHARS)}", prefix)


def prefix_of(key: str) -> str | None:
    """The prefix of a well-formed key; None for anything else."""
    match = _FORM.fullmatch(key)
    return match[1] if match else None


def hash_of(key: str) -> str:
    """SHA-256 of a key in hex: a key has 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class LocalKeys(ApiKeys):
    """Keys for `AUTH_PROVIDER=local`.

    The bootstrap key, given as its SHA-256 in lower-case hex, is an admin of `bootstrap_org`.
    Without MongoDB `stored` is None.
    """

    def __init__(
        self, bootstrap_hash: str | None, bootstrap_org: str, stored: ApiKeys | None
    ) -> None:
        self._bootstrap_hash = bootstrap_hash
        self._bootstrap = Principal(org=bootstrap_org, user_id=BOOTSTRAP_USER, is_admin=True)
        self._stored = stored

    @override
    async def resolve(self, key: str) -> Principal | None:
        known = self._bootstrap_hash
        if known is not None and hmac.compare_digest(hash_of(key), known):
            return self._bootstrap
        if self._stored is None or prefix_of(key) is None:
            return None
        return await self._stored.resolve(key)
