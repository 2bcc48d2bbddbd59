"""Encryption of everything that Temporal stores: inputs, results, messages, failures, details.

AES-256-GCM. Each payload names its key, so keys can be rotated: the first key of the ring encrypts,
all of them decrypt.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)
from typing_extensions import override

from adapters.settings.secrets import DERIVED_KEY_PREFIX
from adapters.temporal.tolerance import tolerant_data_converter
from domain.errors import EverlineError, InvalidInput

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
KEYS_VARIABLE = "EVERLINE_ENCRYPTION_KEYS"
_NONCE_BYTES = 12


class CannotDecrypt(EverlineError):
    """A payload was encrypted with a key that is not in the ring, or was altered."""

    code = "cannot_decrypt"


class EncryptionCodec(PayloadCodec):
    """Encrypts each payload as a whole and authenticates the key id.

    Unencrypted payloads are decoded unchanged; a missing key raises `CannotDecrypt`, naming its id.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take the key ring: 32-byte keys by id, of which the first encrypts."""
        if not keys:
            raise ValueError("encryption needs at least one key")
        if any(len(key) != 32 for key in keys.values()):
            raise ValueError("encryption keys must be 32 bytes long")
        self._ciphers = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(self._ciphers))

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypt(payload) for payload in payloads]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypt(payload) for payload in payloads]

    def seal(self, data: bytes) -> bytes:
        """`data` encrypted with the current key, for storage outside Temporal."""
        return self._encrypt(Payload(data=data)).SerializeToString()

    def unseal(self, sealed: bytes) -> bytes:
        """The data that `seal` encrypted with any key of the ring, or `CannotDecrypt`."""
        try:
            payload = Payload.FromString(sealed)
        except DecodeError:
            payload = Payload()
        if payload.metadata.get("encoding") != ENCODING:
            raise CannotDecrypt("this was not sealed by Everline")
        return self._decrypt(payload).data

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._ciphers[self._current]
        sealed = cipher.encrypt(nonce, payload.SerializeToString(), self._current)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: self._current}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotDecrypt(
                f"a payload was encrypted with the key {key_id!r}, which is not in the key ring",
                field=KEYS_VARIABLE,
                cure=_cure_of_unknown_key(key_id.decode(errors="replace")),
            )
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, key_id))
        except (InvalidTag, ValueError, DecodeError):
            raise CannotDecrypt(
                f"a payload of the key {key_id!r} was altered, or that id now names another key",
                field=KEYS_VARIABLE,
                cure=f"check that {KEYS_VARIABLE} has the key that this id named before",
            ) from None


def _cure_of_unknown_key(key_id: str) -> str:
    where = f"add that key to {KEYS_VARIABLE} after the current one"
    if key_id.startswith(DERIVED_KEY_PREFIX):
        where = (
            "it was derived from another LIVEKIT_API_SECRET: with that one set, `everline secrets`"
            f" prints the key; add it to {KEYS_VARIABLE}"
        )
    return f"{where}, for as long as stored data uses it"


def data_converter(keys: Mapping[str, bytes]) -> DataConverter:
    """Pydantic models as JSON, encrypted; messages and stack traces of failures as well."""
    return replace(
        tolerant_data_converter,
        payload_codec=EncryptionCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def encode_payloads(codec: PayloadCodec, body: bytes) -> bytes:
    """Encrypt the JSON of protobuf `Payloads`; `InvalidInput` if the body is something else."""
    payloads = _payloads(body)
    await codec.encode_wrapper(payloads)
    return json_format.MessageToJson(payloads).encode()


async def decode_payloads(codec: PayloadCodec, body: bytes) -> bytes:
    """Decrypt the JSON of protobuf `Payloads`; `InvalidInput` if it cannot be decrypted."""
    payloads = _payloads(body)
    try:
        await codec.decode_wrapper(payloads)
    except CannotDecrypt as error:
        raise InvalidInput(error.message, field="payloads", cure=error.cure) from None
    return json_format.MessageToJson(payloads).encode()


def _payloads(body: bytes) -> Payloads:
    try:
        return json_format.Parse(body, Payloads())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(
            "the body is not the JSON form of Temporal's Payloads",
            field="payloads",
            cure='send {"payloads": [{"metadata": {...}, "data": "..."}]}, values in base64',
        ) from None
