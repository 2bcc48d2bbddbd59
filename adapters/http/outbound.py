"""HTTP requests to addresses that customers name, kept away from what is ours.

A customer's URL (a webhook endpoint, an HTTP tool) may name an address inside our own network, or a
name that resolves to one only at the second look. So each name is resolved here, once, every
address of it must be public, and the connection goes to the address that was checked.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable

import httpx

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to IP addresses as text; raises OSError if there are none."""


_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is public; beside it are only special forms."""
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
"""Reserved as a whole; a cloud has its machines' credentials there. Python calls parts public."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
"""A name as it is looked up, or an address."""
_LOCAL = ("localhost", "local", "internal", "lan", "intranet", "home.arpa")
"""Names, and the ends of names, that never are public."""


class ForbiddenAddress(Exception):
    """The URL may not be called, by no retry either.

    Attributes:
        cure: what would make it callable.
    """

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.cure = cure


def outbound_client(
    *,
    allow_private: bool,
    timeout: httpx.Timeout,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """A client for customers' URLs: https and public addresses only, no redirects, no proxies.

    Args:
        allow_private: also http, loopback and private networks; for development.
        timeout: of each request's parts; bound the whole outside.
        resolve: instead of the system's resolver.
        tls: whom to trust, instead of the usual authorities.

    Its requests raise `ForbiddenAddress` beside httpx's own errors; an unknown host name is an
    `httpx.ConnectError`.
    """
    gate = AddressGate(allow_private=allow_private, resolve=resolve)
    transport = _CheckedTransport(gate, tls)
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
    elif not allow_private and _is_local_name(parsed.host):
        raise ForbiddenAddress("its host is a name of a local network", "give a public host")


class AddressGate:
    """Resolves the host of a URL and lets it pass only if every address of it may be called."""

    def __init__(self, *, allow_private: bool, resolve: Resolve | None = None) -> None:
        """Take the rules; see `outbound_client`."""
        self._allow_private = allow_private
        self._resolve = resolve or _resolve

    async def addresses(self, url: str) -> list[str]:
        """The addresses to connect to, in the resolver's order, at least one.

        Raises:
            ForbiddenAddress: the URL may not be called, by no retry either.
            OSError: the host name cannot be resolved.
        """
        parsed = httpx.URL(url)
        _check_form(parsed, self._allow_private)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = await self._resolve(parsed.host, port)
        except UnicodeError:
            raise OSError("not a host name") from None
        for address in found:
            _check_address(ipaddress.ip_address(address), self._allow_private)
        if not found:
            raise OSError("the host name has no address")
        return list(dict.fromkeys(found))

    async def address(self, url: str) -> str:
        """The first of them."""
        return (await self.addresses(url))[0]


class _CheckedTransport(httpx.AsyncBaseTransport):
    def __init__(self, gate: AddressGate, tls: ssl.SSLContext | None) -> None:
        self._gate = gate
        # Connections are kept by address: one that was opened for a host would serve every other
        # host of that address, whose certificate was never looked at. So none is kept.
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            *earlier, last = await self._gate.addresses(str(request.url))
        except OSError as error:
            host = request.url.host
            raise httpx.ConnectError(f"{host} cannot be resolved", request=request) from error
        for address in earlier:
            try:
                return await self._send(request, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent yet; the host has further addresses.
                continue
        return await self._send(request, last)

    async def _send(self, request: httpx.Request, address: str) -> httpx.Response:
        # The certificate is still checked against the name, and the server still sees it.
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


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
    if not _HOST.fullmatch(url.raw_host.decode("ascii", "replace")) or not _is_port(url.port):
        raise ForbiddenAddress("its host or port is not one", "give a URL like https://host/path")
    if url.userinfo:
        raise ForbiddenAddress("it holds a user name or password", "leave them out of the URL")


def _is_port(port: int | None) -> bool:
    return port is None or 0 < port <= 65_535


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as, also in the forms that resolvers take (`127.1`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _is_local_name(host: str) -> bool:
    name = host.lower().rstrip(".")
    return name in _LOCAL or name.endswith(tuple(f".{one}" for one in _LOCAL))


def _check_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, allow_private: bool
) -> None:
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        # IPv4 addresses in IPv6 clothes.
        inner = address.ipv4_mapped or address.sixtofour or _nat64(address) or address
    if allow_private and (inner.is_loopback or inner.is_private) and not _is_never_called(inner):
        return
    if not _is_public(inner):
        raise ForbiddenAddress(
            "its host name leads to an address that is not public", "give a public host"
        )


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and address not in _PROTOCOLS


def _is_never_called(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Link-local addresses are where clouds hand out their machines' credentials."""
    return address.is_link_local or address.is_multicast or address.is_unspecified


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
