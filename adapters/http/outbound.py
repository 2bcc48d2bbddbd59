"""HTTP requests to URLs that customers name, which must not reach our own network.

A customer's URL (a webhook endpoint, an HTTP tool) may name an internal address, or a host whose
name resolves to one only at the second look-up. So each name is resolved once, here; every address
of it must be public, and the connection goes to an address that was checked.
"""

import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from adapters.http.look_ups import LookUps

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to IP addresses as text; raises OSError if there are none."""

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The public IPv6 addresses, and some special ones."""
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
"""Reserved; clouds serve their machines' credentials there. Python counts parts of it as public."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
"""A host name or an address."""
_LOCAL = (".localhost", ".local", ".internal", ".lan", ".intranet", ".home.arpa")
"""Domains that are never public."""
_LOOK_UPS = LookUps()
_URL_CURE = "give a URL like https://host/path"


class ForbiddenAddress(Exception):
    """The URL must not be called, nor retried.

    Attributes:
        cure: what would make it callable.
        private: whether `allow_private` would allow it.
    """

    def __init__(self, problem: str, cure: str, *, private: bool = False) -> None:
        super().__init__(problem)
        self.cure = cure
        self.private = private

    def cure_with(self, setting: str) -> str:
        """The cure; for a private address, also the setting that allows it."""
        return f"{self.cure}, or for development set {setting}=true" if self.private else self.cure


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
        timeout: for each part of a request; the caller limits the whole.
        resolve: instead of the system's resolver.
        tls: trusted certificates, instead of the usual authorities.

    Its requests raise `ForbiddenAddress` in addition to httpx's errors; an unknown host name raises
    `httpx.ConnectError`.
    """
    gate = AddressGate(allow_private=allow_private, resolve=resolve)
    transport = _CheckedTransport(gate, tls)
    return httpx.AsyncClient(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
    )


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise `ForbiddenAddress` for a URL that is not allowed whatever its host name resolves to."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise ForbiddenAddress("it is not a URL", _URL_CURE) from None
    _check_form(parsed, allow_private)
    if address := _literal(parsed.host):
        _check_address(address, allow_private)
    elif not allow_private and f".{parsed.host.lower().rstrip('.')}".endswith(_LOCAL):
        raise ForbiddenAddress(
            "its host is a name of a local network", "give a public host", private=True
        )


class AddressGate:
    """Resolves the host of a URL, all of whose addresses must be allowed."""

    def __init__(self, *, allow_private: bool, resolve: Resolve | None = None) -> None:
        self._allow_private = allow_private
        self._resolve = resolve or _LOOK_UPS.addresses

    async def addresses(self, url: str) -> list[str]:
        """The addresses to connect to, in the resolver's order, at least one.

        Raises:
            ForbiddenAddress: the URL must not be called.
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


class _CheckedTransport(httpx.AsyncBaseTransport):
    def __init__(self, gate: AddressGate, tls: ssl.SSLContext | None) -> None:
        self._gate = gate
        # Keep no connections: the pool knows them by address, so it would use one for every other
        # host at that address, without checking that host's certificate.
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
            # Nothing was sent if there was no connection: try the next address.
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._send(request, address)
        return await self._send(request, last)

    async def _send(self, request: httpx.Request, address: str) -> httpx.Response:
        # The certificate is checked against the host name, which the server also receives.
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


def _check_form(url: httpx.URL, allow_private: bool) -> None:
    schemes = ("https", "http") if allow_private else ("https",)
    if url.scheme not in schemes or not url.host:
        raise ForbiddenAddress(
            f"only {' and '.join(schemes)} URLs are called", _URL_CURE, private=url.scheme == "http"
        )
    is_port = url.port is None or 0 < url.port <= 65_535
    if not _HOST.fullmatch(url.raw_host.decode("ascii", "replace")) or not is_port:
        raise ForbiddenAddress("its host or port is not one", _URL_CURE)
    if url.userinfo:
        raise ForbiddenAddress("it holds a user name or password", "leave them out of the URL")


def _literal(host: str) -> Address | None:
    """The address that a host is written as, also in the forms that resolvers take (`127.1`)."""
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    with suppress(OSError, UnicodeError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _check_address(address: Address, allow_private: bool) -> None:
    if isinstance(address, ipaddress.IPv6Address):
        # IPv4-mapped, 6to4 and NAT64 addresses lead to an IPv4 address.
        nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        address = address.ipv4_mapped or address.sixtofour or nat64 or address
    # Clouds serve their machines' credentials at link-local addresses.
    never = address.is_link_local or address.is_multicast or address.is_unspecified
    private = not never and (address.is_loopback or address.is_private)
    if allow_private and private:
        return
    special = isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST
    if special or not address.is_global or address.is_multicast or address in _PROTOCOLS:
        raise ForbiddenAddress(
            "its host name leads to an address that is not public",
            "give a public host",
            private=private,
        )
