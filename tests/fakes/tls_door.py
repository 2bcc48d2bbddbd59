"""TLS in front of a server that speaks none, with certificates of its own making.

As a Temporal of one's own behind a proxy, or Temporal Cloud, is reached.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    """The files of a certificate and of its private key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that nobody knows yet; its files are in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _unsigned(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(own.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def sign(self, name: str) -> Signed:
        """A certificate for a server on loopback, or for one of its clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        unsigned = _unsigned(subject, self._name, key).add_extension(names, critical=False)
        signed = Signed(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        signed.certificate.write_bytes(
            unsigned.sign(self._key, SHA256()).public_bytes(Encoding.PEM)
        )
        signed.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return signed


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


@asynccontextmanager
async def tls_door(
    address: str,
    server: Signed,
    authority: Authority,
    *,
    known_clients_alone: bool = False,
    api_key: str | None = None,
) -> AsyncGenerator[str]:
    """`host:port` of the door to the Temporal at `address`, for the block.

    Args:
        address: `host:port` of what is behind it.
        server: Who the door says that it is.
        authority: Whose clients are known.
        known_clients_alone: Whether it wants a certificate of them (mutual TLS).
        api_key: The one key that opens it; None: no key is asked for.
    """
    async with grpc.aio.insecure_channel(address) as behind:
        door = grpc.aio.server()
        door.add_generic_rpc_handlers([_Porter(behind, api_key)])
        credentials = grpc.ssl_server_credentials(
            [(server.key.read_bytes(), server.certificate.read_bytes())],
            authority.certificate.read_bytes() if known_clients_alone else None,
            require_client_auth=known_clients_alone,
        )
        port = door.add_secure_port("127.0.0.1:0", credentials)
        await door.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await door.stop(None)


class _Porter(grpc.GenericRpcHandler):
    """Passes every call on as the bytes that it is, if its key is right."""

    def __init__(self, behind: grpc.aio.Channel, api_key: str | None) -> None:
        self._behind = behind
        self._wanted = f"Bearer {api_key}" if api_key else None

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        given = dict(handler_call_details.invocation_metadata).get("authorization")

        async def pass_on(
            request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
        ) -> bytes:
            if self._wanted and given != self._wanted:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._behind.unary_unary(
                handler_call_details.method
            )
            try:
                return await call(request)
            except grpc.aio.AioRpcError as refusal:
                await context.abort(refusal.code(), refusal.details() or "")

        return grpc.unary_unary_rpc_method_handler(pass_on)
