"""Keys and secrets of one stack: generated once and kept in its home."""

import base64
import hashlib
import secrets

from pydantic import BaseModel, ConfigDict, ValidationError

from stack.errors import StackError
from stack.layout.files import write_atomically
from stack.layout.home import Home


class Credentials(BaseModel):
    """The secrets that the processes of one stack share.

    Attributes:
        api_key: What clients send as `x-api-key`; the API gets only its hash.
        livekit_api_secret: Signs tokens and webhooks.
        encryption_key: AES-256 key of the payload codec, base64 of 32 bytes.
        encryption_key_id: Stored in each payload, so that keys can be rotated.
        callback_secret: Signs the agents' callback tokens.
        codec_secret: Path segment of the codec endpoint that the Temporal UI uses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: str
    livekit_api_key: str
    livekit_api_secret: str
    encryption_key: str
    encryption_key_id: str
    callback_secret: str
    codec_secret: str

    @property
    def api_key_hash(self) -> str:
        """SHA-256 of the API key, in hex."""
        return hashlib.sha256(self.api_key.encode()).hexdigest()

    @property
    def encryption_keys(self) -> str:
        """The value of `EVERLINE_ENCRYPTION_KEYS`."""
        return f"{self.encryption_key_id}:{self.encryption_key}"


def generate_credentials() -> Credentials:
    """Generate new credentials."""
    return Credentials(
        api_key=f"evl_{secrets.token_urlsafe(32)}",
        livekit_api_key=f"API{secrets.token_hex(6)}",
        livekit_api_secret=secrets.token_urlsafe(36),
        encryption_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        encryption_key_id=f"local-{secrets.token_hex(3)}",
        callback_secret=secrets.token_urlsafe(48),
        codec_secret=secrets.token_urlsafe(24),
    )


def read_credentials(home: Home) -> Credentials | None:
    """Return the stack's credentials, or None if it never started.

    Raises:
        StackError: The file is damaged. It is never replaced silently, because Temporal's history
            can only be read with its encryption key.
    """
    if not home.credentials.exists():
        return None
    try:
        return Credentials.model_validate_json(home.credentials.read_text(encoding="utf-8"))
    except ValidationError as problem:
        fields = ", ".join(str(error["loc"][0]) for error in problem.errors() if error["loc"])
        raise StackError(
            f"{home.credentials} is damaged ({fields or 'not JSON'}). Restore it from a backup, or "
            f"remove the whole folder {home.root} to start afresh: stored sessions can only be "
            "read with the key in that file."
        ) from None


def load_credentials(home: Home) -> Credentials:
    """Return the stack's credentials, generated at its first start."""
    existing = read_credentials(home)
    if existing is None:
        existing = generate_credentials()
        write_atomically(home.credentials, existing.model_dump_json(indent=2), private=True)
    home.credentials.chmod(0o600)
    return existing
