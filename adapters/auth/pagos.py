"""Resolution of API keys by the Pagos authentication API.

There is one request at a time per key, and answers are cached for a short time. An outage of Pagos
is an outage (`Unavailable`), never a yes or a no.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr, ValidationError
from typing_extensions import override

from adapters.auth.key_cache import KeyCache
from adapters.http.bodies import AnswerTooLong, body_of
from adapters.http.circuit import CircuitBreaker
from adapters.http.clocks import date_of
from adapters.http.retry_after import retry_after
from adapters.settings import PagosSettings
from domain.access.ports import ApiKeys
from domain.access.principal import Principal
from domain.errors import Unavailable
from domain.ids import Id

log = structlog.get_logger()

MOST_KEY_CHARS = 512
MOST_ANSWER_BYTES = 64 * 1024
_CONNECTIONS = 20


class PagosUnavailable(Unavailable):
    """Pagos does not resolve the key now (HTTP 503)."""

    code = "auth_unavailable"


class _Answer(BaseModel):
    """Types of the mapped fields; a string such as "false" is not a boolean."""

    model_config = ConfigDict(strict=True)

    org: Id
    user: StrictStr | StrictInt | None = None
    admin: StrictBool | None = None


class Pagos(ApiKeys):
    """Resolves keys; one per process, which holds the cache and the circuit breaker."""

    def __init__(
        self, settings: PagosSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._cache = KeyCache(
            settings.pagos_cache_size,
            settings.pagos_cache_seconds,
            settings.pagos_negative_cache_seconds,
            clock,
        )
        self._breaker = CircuitBreaker(
            settings.pagos_breaker_failures, settings.pagos_breaker_seconds, clock
        )
        self._asking: dict[bytes, asyncio.Task[Principal | None]] = {}
        token, scheme = settings.pagos_admin_token.get_secret_value(), settings.pagos_token_scheme
        self._http = httpx.AsyncClient(
            base_url=settings.pagos_api_url,
            headers={
                "accept": "application/json",
                settings.pagos_token_header: token if scheme == "none" else f"{scheme} {token}",
            },
            follow_redirects=False,
            timeout=settings.pagos_timeout_seconds,
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            # Never send a cookie from one key's answer with another key's request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @override
    async def resolve(self, key: str) -> Principal | None:
        if len(key) > MOST_KEY_CHARS or not key.isascii() or not key.isprintable():
            return None
        digest = hashlib.sha256(key.encode()).digest()
        known = self._cache.get(digest)
        if known:
            return known.principal
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask(digest, key))
            asking.add_done_callback(lambda task: self._asked(digest, task))
        # Shielded: a client that disconnects must not cancel the look-up for the others.
        return await asyncio.shield(asking)

    def _asked(self, digest: bytes, task: asyncio.Task[Principal | None]) -> None:
        del self._asking[digest]
        if not task.cancelled():
            task.exception()  # Retrieve it even if nobody waits any more, or asyncio would warn.

    async def _ask(self, digest: bytes, key: str) -> Principal | None:
        pause = self._breaker.wait_seconds()
        if pause:
            raise PagosUnavailable("Pagos does not answer", retry_after=pause)
        asked_at = self._cache.now()
        try:
            async with asyncio.timeout(self._settings.pagos_timeout_seconds):
                principal = await self._look_up(key)
        except (TimeoutError, httpx.HTTPError) as error:
            self._breaker.failed()
            raise self._unusable(f"no answer ({type(error).__name__})") from None
        self._breaker.succeeded()
        self._cache.put(digest, principal, asked_at)
        return principal

    async def _look_up(self, key: str) -> Principal | None:
        settings = self._settings
        field = settings.pagos_key_field
        async with self._http.stream(
            settings.pagos_resolve_method,
            settings.pagos_resolve_path,
            headers=None if field else {settings.pagos_key_header: key},
            json={field: key} if field else None,
        ) as response:
            if response.status_code in settings.pagos_unknown_key_statuses:
                return None
            if response.status_code == 429:
                self._breaker.succeeded()
                raise PagosUnavailable("Pagos is busy", retry_after=_retry_after(response))
            if response.status_code >= 500:
                self._breaker.failed()
                raise self._unusable(f"it answered {response.status_code}")
            if response.status_code != 200:
                refused = response.status_code in (401, 403)
                raise self._unexpected(
                    f"it answered {response.status_code}",
                    cure="check PAGOS_ADMIN_TOKEN" if refused else "check PAGOS_RESOLVE_PATH",
                )
            try:
                body = await body_of(response, MOST_ANSWER_BYTES)
            except AnswerTooLong:
                raise self._unexpected("its answer is too long") from None
        return self._principal(body)

    def _principal(self, body: bytes) -> Principal | None:
        settings = self._settings
        try:
            answer = json.loads(body)
            found = _Answer(
                org=_field(answer, settings.pagos_org_field),
                user=_field(answer, settings.pagos_user_field),
                admin=_field(answer, settings.pagos_admin_field),
            )
        except (ValueError, RecursionError, ValidationError):
            # Without the answer in the error: it is customer data.
            raise self._unexpected(
                "its answer does not name an org and a user as configured",
                cure="check PAGOS_RESOLVE_PATH, PAGOS_ORG_FIELD, PAGOS_USER_FIELD and"
                " PAGOS_ADMIN_FIELD",
            ) from None
        user = None if found.user is None else str(found.user)
        return Principal(org=found.org, user_id=user, is_admin=bool(found.admin))

    def _unexpected(self, reason: str, cure: str | None = None) -> PagosUnavailable:
        # Only an outage opens the breaker: an unusable answer for one key, even to the trial
        # request after the pause, must not block the other keys.
        self._breaker.succeeded()
        return self._unusable(reason, cure)

    def _unusable(self, reason: str, cure: str | None = None) -> PagosUnavailable:
        log.warning("pagos gave no usable answer", reason=reason, cure=cure)
        return PagosUnavailable(
            "Pagos did not resolve the API key",
            retry_after=max(1, self._breaker.seconds_left()),
        )


def _field(answer: object, path: str) -> Any:
    """The value at a dotted path; None if it is missing."""
    for name in path.split("."):
        if not isinstance(answer, dict):
            return None
        answer = cast(dict[str, object], answer).get(name)
    return answer


def _retry_after(response: httpx.Response) -> int:
    seconds = retry_after(response.headers.get("retry-after", ""), date_of(response))
    return 5 if seconds is None else int(min(max(seconds, 1), 300))
