"""Sends events to customers' receivers."""

import asyncio
import time
from contextlib import suppress
from typing import Self

import httpx
from typing_extensions import override

from adapters.http.clocks import ahead_by, date_of
from adapters.http.outbound import ForbiddenAddress, Resolve, check_url, outbound_client
from adapters.http.retry_after import retry_after
from domain.clocks import differences
from domain.errors import InvalidInput
from domain.webhooks.deliveries import SendAnswer
from domain.webhooks.ports import WebhookSender

USER_AGENT = "Everline-Webhooks/1"
READ_AT_MOST = 1_024
"""Bytes of an answer to wait for; their content is ignored."""
_MAX_URL_CHARS = 2_000
_REFUSED_SIGNATURE = (400, 401, 403)
_SETTING = "EVERLINE_WEBHOOKS_ALLOW_PRIVATE"


class HttpWebhookSender(WebhookSender):
    """POSTs to public addresses only, with one connection per event.

    Each attempt has `seconds`, from name resolution to the answer. `allow_private` also permits
    http and private addresses, for development.
    """

    def __init__(
        self, *, allow_private: bool, seconds: float = 15.0, resolve: Resolve | None = None
    ) -> None:
        self._allow_private = allow_private
        self._seconds = seconds
        self._client = outbound_client(
            allow_private=allow_private, timeout=httpx.Timeout(seconds), resolve=resolve
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @override
    def check(self, url: str) -> None:
        if len(url) > _MAX_URL_CHARS:
            raise InvalidInput(
                "the URL is too long", field="url", cure=f"at most {_MAX_URL_CHARS} characters"
            )
        try:
            check_url(url, allow_private=self._allow_private)
        except ForbiddenAddress as problem:
            cure = problem.cure_with(_SETTING)
            raise InvalidInput(str(problem), field="url", cure=cure) from None

    @override
    async def send(self, url: str, headers: dict[str, str], body: bytes) -> SendAnswer:
        begun = time.monotonic()
        # Reasons name types and statuses only: an error's text may quote the URL or the receiver.
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._post(url, headers, body)
        except (TimeoutError, httpx.TimeoutException):
            answer = _failure(f"no answer within {self._seconds:g} s")
        except ForbiddenAddress as problem:
            answer = _failure(f"{problem}; {problem.cure_with(_SETTING)}", final=True)
        except httpx.ConnectError as error:
            answer = _failure(f"no connection: {_why(error)}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            answer = _failure(f"the connection failed: {type(error).__name__}")
        duration = int((time.monotonic() - begun) * 1000)
        return answer.model_copy(update={"duration_ms": duration})

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> SendAnswer:
        sent = {**headers, "content-type": "application/json", "user-agent": USER_AGENT}
        async with self._client.stream("POST", url, content=body, headers=sent) as response:
            await _read_a_little(response)
        return _meaning(response)


async def _read_a_little(response: httpx.Response) -> None:
    """Receive a short answer completely, and only the beginning of a long one."""
    read = 0
    with suppress(httpx.HTTPError):  # the status has arrived, and decides
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read >= READ_AT_MOST:
                return


def _meaning(response: httpx.Response) -> SendAnswer:
    status = response.status_code
    if response.is_success:
        return SendAnswer(status_code=status, duration_ms=0)
    reason = f"the receiver answered {status}"
    if response.is_redirect:
        reason = f"the receiver redirects ({status}), which is not followed"
    elif status in _REFUSED_SIGNATURE and (ahead := ahead_by(response, time.time())) is not None:
        # Receivers refuse a signature that is some minutes old, or from the future.
        reason = "; ".join([reason, *differences({"the receiver": ahead})])
    pause = retry_after(response.headers.get("retry-after", ""), date_of(response))
    return SendAnswer(status_code=status, duration_ms=0, reason=reason, retry_after=pause)


def _failure(reason: str, *, final: bool = False) -> SendAnswer:
    return SendAnswer(duration_ms=0, reason=reason, final=final)


def _why(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the name cannot be resolved or nothing listens there"
