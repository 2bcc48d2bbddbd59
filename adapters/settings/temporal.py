"""The connection to Temporal."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import Field, ValidationInfo, field_validator

from adapters.settings.base import EnvironmentSettings
from adapters.settings.secrets import EncryptionSettings
from adapters.settings.values import HeaderSecret
from domain.ids import ID_PATTERN


class TemporalConnection(EnvironmentSettings):
    """Temporal's address, and how the connection is secured."""

    temporal_address: str = Field(default="localhost:7233", pattern=r"^[^\s/]+:[0-9]+$")
    """`host:port`."""
    temporal_namespace: str = "default"
    temporal_tls: bool = False
    temporal_tls_ca: str | None = None
    """File (PEM) of the authority that signed Temporal's certificate; None: a public one."""
    temporal_tls_cert: str | None = None
    """File (PEM) of our own certificate, where Temporal wants one (mutual TLS)."""
    temporal_tls_key: str | None = Field(default=None, validate_default=True)
    """File (PEM) of that certificate's private key, without a password."""
    temporal_api_key: HeaderSecret | None = None
    """Temporal Cloud's API key."""

    @field_validator("temporal_tls_ca", "temporal_tls_cert", "temporal_tls_key", "temporal_api_key")
    @classmethod
    def _only_with_tls(cls, value: object, info: ValidationInfo) -> object:
        if value and info.data.get("temporal_tls") is False:
            raise ValueError("needs TEMPORAL_TLS=true: without it the connection is not encrypted")
        return value

    @field_validator("temporal_tls_ca")
    @classmethod
    def _readable_authority(cls, file: str | None) -> str | None:
        if file is not None:
            with _unreadable(f"{file} cannot be read as a certificate"):
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        return file

    @field_validator("temporal_tls_key")
    @classmethod
    def _readable_pair(cls, key: str | None, info: ValidationInfo) -> str | None:
        if "temporal_tls_cert" not in info.data:
            return key  # the certificate's error is reported already
        certificate: str | None = info.data["temporal_tls_cert"]
        if (key is None) != (certificate is None):
            raise ValueError("needs TEMPORAL_TLS_CERT, and the reverse; set both or neither")
        if key is not None and certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            with _unreadable(
                f"{key} and TEMPORAL_TLS_CERT, {certificate}, are not a readable pair of a private"
                " key without a password and its certificate"
            ):
                # An empty password: OpenSSL would ask for one at the terminal.
                context.load_cert_chain(certificate, key, password="")
        return key


@contextmanager
def _unreadable(problem: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise ValueError(f"{problem} ({reason})") from None


class TemporalSettings(TemporalConnection, EncryptionSettings):
    """Settings of processes that start or run sessions."""

    temporal_task_queue: str = "everline"
    everline_installation: str | None = Field(default=None, pattern=ID_PATTERN)
    """Id of this installation, if several share a LiveKit; None: the one stored in Temporal,
    made up at the first start."""
