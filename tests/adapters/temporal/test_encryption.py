"""Nothing that Temporal stores can be read without the key, and keys can be rotated."""

import base64
import json
import uuid
from datetime import UTC, datetime

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from adapters.temporal.encryption import (
    CannotDecrypt,
    EncryptionCodec,
    data_converter,
    decode_payloads,
    encode_payloads,
)
from domain.errors import InvalidInput
from domain.sessions.messages import EndRequest
from tests.adapters.temporal.secret_workflow import SecretRequest, SecretWorkflow
from tests.servers import TemporalServer

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"the secret"')


async def test_what_is_encrypted_is_unreadable_and_comes_back() -> None:
    codec = EncryptionCodec({"k1": OLD})

    [once], [again] = await codec.encode([PLAIN]), await codec.encode([PLAIN])

    assert once.metadata["encoding"] == b"binary/encrypted"
    assert once.metadata["encryption-key-id"] == b"k1"
    assert b"secret" not in once.SerializeToString()
    assert once.data != again.data
    assert await codec.decode([once, again]) == [PLAIN, PLAIN]


async def test_after_a_rotation_the_new_key_encrypts_and_both_decrypt() -> None:
    [before] = await EncryptionCodec({"k1": OLD}).encode([PLAIN])
    rotated = EncryptionCodec({"k2": NEW, "k1": OLD})

    [after] = await rotated.encode([PLAIN])

    assert after.metadata["encryption-key-id"] == b"k2"
    assert await rotated.decode([before, after]) == [PLAIN, PLAIN]


async def test_a_key_that_is_missing_is_named_with_its_cure() -> None:
    [sealed] = await EncryptionCodec({"k1": OLD}).encode([PLAIN])
    with pytest.raises(CannotDecrypt, match="'k1'") as refused:
        await EncryptionCodec({"k2": NEW}).decode([sealed])
    assert refused.value.field == "EVERLINE_ENCRYPTION_KEYS"
    assert refused.value.cure is not None


async def test_another_key_under_the_same_id_and_altered_data_are_told() -> None:
    codec = EncryptionCodec({"k1": OLD})
    [sealed] = await codec.encode([PLAIN])
    with pytest.raises(CannotDecrypt, match="altered"):
        await EncryptionCodec({"k1": NEW}).decode([sealed])
    for data in (b"", sealed.data[:20], sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])):
        with pytest.raises(CannotDecrypt, match="altered"):
            await codec.decode([Payload(metadata=dict(sealed.metadata), data=data)])


async def test_what_was_stored_before_encryption_is_still_read() -> None:
    assert await EncryptionCodec({"k1": OLD}).decode([PLAIN]) == [PLAIN]


@pytest.mark.parametrize("keys", [{}, {"k1": b"short"}, {"k1": OLD, "k2": b"x" * 33}])
def test_a_ring_without_keys_or_with_short_ones_is_refused(keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        EncryptionCodec(keys)


async def test_the_codec_endpoint_speaks_temporals_json() -> None:
    codec = EncryptionCodec({"k1": OLD})
    encoding = base64.b64encode(b"json/plain").decode()
    data = base64.b64encode(b'"the secret"').decode()
    plain = {"payloads": [{"metadata": {"encoding": encoding}, "data": data}]}

    sealed = await encode_payloads(codec, json.dumps(plain).encode())

    assert data not in sealed.decode()
    assert json.loads(await decode_payloads(codec, sealed)) == plain


@pytest.mark.parametrize("body", [b"", b"no json", b'{"payloads": 7}', b"[1]", b"\xff"])
async def test_the_codec_endpoint_refuses_what_is_no_payload(body: bytes) -> None:
    codec = EncryptionCodec({"k1": OLD})
    with pytest.raises(InvalidInput):
        await decode_payloads(codec, body)
    with pytest.raises(InvalidInput):
        await encode_payloads(codec, body)


async def history_of(client: Client, workflow_id: str) -> str:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return history.to_json()


async def client_of(server: TemporalServer, **keys: bytes) -> Client:
    return await Client.connect(server.address, data_converter=data_converter(keys))


@pytest.fixture
def queue() -> str:
    return f"secrets-{uuid.uuid4().hex}"


async def test_temporal_never_sees_input_result_signal_details_or_failure(
    temporal_server: TemporalServer, queue: str
) -> None:
    client = await client_of(temporal_server, k1=OLD)
    async with Worker(client, task_queue=queue, workflows=[SecretWorkflow]):
        handle = await client.start_workflow(
            SecretWorkflow.run,
            SecretRequest(secret="classified", fail=False),
            id=f"{queue}-ok",
            task_queue=queue,
            static_summary="classified summary",
        )
        await handle.signal(SecretWorkflow.whisper, "classified signal")
        answer = await handle.result()
        assert answer.text == "classified, classified signal"

        failing = await client.start_workflow(
            SecretWorkflow.run,
            SecretRequest(secret="classified", fail=True),
            id=f"{queue}-failed",
            task_queue=queue,
        )
        await failing.signal(SecretWorkflow.whisper, "classified signal")
        with pytest.raises(WorkflowFailureError) as failed:
            await failing.result()

    assert isinstance(failed.value.cause, ApplicationError)
    assert "classified" in failed.value.cause.message
    for workflow_id in (f"{queue}-ok", f"{queue}-failed"):
        history = await history_of(await Client.connect(temporal_server.address), workflow_id)
        assert base64.b64encode(b"binary/encrypted").decode() in history
        for form in every_base64_of("classified"):
            assert form not in history
        assert "classified" not in history


def every_base64_of(word: str) -> set[str]:
    """What `word` looks like in base64 at each of its three positions, without the edges."""
    forms: set[str] = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + word.encode()).decode().rstrip("=")
        forms.add(encoded[4 if shift else 0 : -1])
    return forms


async def test_a_workflow_begun_under_the_old_key_ends_under_the_new_one(
    temporal_server: TemporalServer, queue: str
) -> None:
    before = await client_of(temporal_server, k1=OLD)
    await before.start_workflow(
        SecretWorkflow.run,
        SecretRequest(secret="old", fail=False),
        id=queue,
        task_queue=queue,
    )
    after = await Client.connect(
        temporal_server.address, data_converter=data_converter({"k2": NEW, "k1": OLD})
    )
    async with Worker(after, task_queue=queue, workflows=[SecretWorkflow]):
        handle = after.get_workflow_handle_for(SecretWorkflow.run, queue)
        await handle.signal(SecretWorkflow.whisper, "new")
        assert (await handle.result()).text == "old, new"
        assert (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_a_reader_without_the_key_is_told_so(
    temporal_server: TemporalServer, queue: str
) -> None:
    client = await client_of(temporal_server, k1=OLD)
    async with Worker(client, task_queue=queue, workflows=[SecretWorkflow]):
        handle = await client.start_workflow(
            SecretWorkflow.run,
            SecretRequest(secret="a", fail=False),
            id=queue,
            task_queue=queue,
        )
        await handle.signal(SecretWorkflow.whisper, "b")
        await handle.result()
    stranger = await client_of(temporal_server, k2=NEW)
    with pytest.raises(CannotDecrypt, match="'k1'"):
        await stranger.get_workflow_handle(queue).result()


def test_payloads_are_written_as_temporals_pydantic_converter_writes_them() -> None:
    at = datetime(2030, 1, 31, tzinfo=UTC)
    values = [
        EndRequest(event_id="e", by="ü"),
        None,
        b"bytes",
        {"at": at},
        1.5,
    ]
    ours = data_converter({"k1": OLD}).payload_converter.to_payloads(values)
    theirs = pydantic_data_converter.payload_converter.to_payloads(values)
    assert [one.SerializeToString() for one in ours] == [one.SerializeToString() for one in theirs]
