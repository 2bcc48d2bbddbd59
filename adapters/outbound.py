"""HTTP requests to addresses that customers name, kept away from what is ours.

A customer's URL (a webhook endpoint, an HTTP tool) may name an address inside our own network, or a
name that resolves to one only at the second look. So each name is resolved here, once, every
address of it must be public, and the connection goes to the address that was checked.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to IP addresses as text; raises OSError if there are none."""


class ForbiddenAddress(Exception):
    """The URL may not be called, by no retry either.

    Attributes:
        cure: what would make it callable.
    """

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.cure = cure


def outbound_client(
    *, allow_private: bool, timeout: httpx.Timeout, resolve: Resolve | None = None
) -> httpx.AsyncClient:
    """A client for customers' URLs: https and public addresses only, no redirects, no proxies.

    Args:
        allow_private: also http, loopback and private networks; for development.
        timeout: of each request's parts; bound the whole outside.
        resolve: instead of the system's resolver.

    Its requests raise `ForbiddenAddress` beside httpx's own errors; an unknown host name is an
    `httpx.ConnectError`.
    """
    transport = _CheckedTransport(allow_private, resolve or _resolve)
    return httpx.AsyncClient(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
    )


def check_url(url: str, *, allow_private: bool) -> None:
    """Check what can be told of a URL without resolving its name.

    Raises:
        ForbiddenAddress: it will never be called.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ForbiddenAddress("it is not a URL", "give a URL like https://host/path") from None
    _check_form(parsed, allow_private)
    if address := _literal(parsed.host):
        _check_address(address, allow_private)


class _CheckedTransport(httpx.AsyncBaseTransport):
    def __init__(self, allow_private: bool, resolve: Resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._inner = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        _check_form(url, self._allow_private)
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._checked_address(request, url.host, port)
        # The certificate is still checked against the name, and the server still sees it.
        pinned = httpx.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _checked_address(self, request: httpx.Request, host: str, port: int) -> str:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} cannot be resolved", request=request) from error
        for address in addresses:
            _check_address(ipaddress.ip_address(address), self._allow_private)
        return addresses[0]


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An IPv6 address of a link may name its interface.
    return [str(address[4][0]).partition("%")[0] for address in found]


def _check_form(url: httpx.URL, allow_private: bool) -> None:
    schemes = ("https", "http") if allow_private else ("https",)
    if url.scheme not in schemes or not url.host:
        raise ForbiddenAddress(
            f"only {' and '.join(schemes)} URLs are called", "give a URL like https://host/path"
        )
    if url.userinfo:
        raise ForbiddenAddress("it holds a user name or password", "leave them out of the URL")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, allow_private: bool
) -> None:
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        # IPv4 addresses in IPv6 clothes.
        inner = address.ipv4_mapped or address.sixtofour or _nat64(address) or address
    if allow_private and not inner.is_multicast and not inner.is_unspecified:
        return
    if not inner.is_global or inner.is_multicast:
        raise ForbiddenAddress(
            "its host name leads to an address that is not public", "give a public host"
        )


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
