"""The client for customers' servers of the Model Context Protocol, with the rules of `outbound`.

The protocol's package uses another HTTP client than ours, so it needs another transport.
"""

import ssl

import httpx2

from adapters.http.outbound import AddressGate, Resolve


def mcp_http_client(
    *,
    allow_private: bool,
    headers: dict[str, str],
    timeout: float,
    verify: ssl.SSLContext,
    resolve: Resolve | None = None,
) -> httpx2.AsyncClient:
    """A client for customers' URLs with the rules of `outbound_client`.

    Each part of a request has `timeout` seconds, but a streamed answer may pause for longer. Its
    requests raise `ForbiddenAddress` in addition to its own errors.
    """
    return httpx2.AsyncClient(
        transport=_CheckedTransport(
            AddressGate(allow_private=allow_private, resolve=resolve), verify
        ),
        headers=headers,
        # A server may keep a stream open and silent for as long as the call lasts.
        timeout=httpx2.Timeout(timeout, read=None),
        follow_redirects=False,
        trust_env=False,
    )


class _CheckedTransport(httpx2.AsyncBaseTransport):
    def __init__(self, gate: AddressGate, verify: ssl.SSLContext) -> None:
        self._gate = gate
        self._inner = httpx2.AsyncHTTPTransport(verify=verify, trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            address = (await self._gate.addresses(str(url)))[0]
        except OSError as error:
            raise httpx2.ConnectError(f"{url.host} cannot be resolved", request=request) from error
        # The certificate is checked against the host name, which the server also receives.
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()
