"""API keys without an account service: one bootstrap key per stack, and those kept in MongoDB."""

import hashlib
import hmac
import re
import secrets
import string
from typing import NamedTuple

from domain.access.ports import ApiKeys
from domain.access.principal import Principal

_ALPHABET = string.ascii_letters + string.digits
_PREFIX_CHARS = 8
_SECRET_CHARS = 43
"""Letters and digits that carry 256 bits."""
_FORM = re.compile(r"evk_([A-Za-z0-9]{1,64})_([A-Za-z0-9_-]{16,256})")

BOOTSTRAP_USER = "bootstrap"


class NewKey(NamedTuple):
    """A key that was just made; it is shown once and kept as a hash."""

    key: str
    prefix: str
    """What names the key in lists and logs; not secret."""


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


class LocalKeys:
    """The port `ApiKeys` for `AUTH_PROVIDER=local`."""

    def __init__(
        self, bootstrap_hash: str | None, bootstrap_org: str, stored: ApiKeys | None
    ) -> None:
        """Take what is known without asking anybody.

        Args:
            bootstrap_hash: SHA-256 of the bootstrap key in lower-case hex, if there is one.
            bootstrap_org: the org that it speaks for, as its admin.
            stored: the keys in MongoDB; None without it.
        """
        self._bootstrap_hash = bootstrap_hash
        self._bootstrap = Principal(org=bootstrap_org, user_id=BOOTSTRAP_USER, is_admin=True)
        self._stored = stored

    async def resolve(self, key: str) -> Principal | None:
        """Whom a key speaks for; None if it is not known.

        Raises:
            StorageUnavailable: it may be a stored key, and MongoDB does not answer.
        """
        known = self._bootstrap_hash
        if known is not None and hmac.compare_digest(hash_of(key), known):
            return self._bootstrap
        if self._stored is None or prefix_of(key) is None:
            return None
        return await self._stored.resolve(key)
