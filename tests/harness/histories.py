"""What Temporal has stored: histories as they are on its disk, and the same in clear."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecution, WorkflowHandle, WorkflowHistory
from temporalio.converter import PayloadCodec
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import (
    SessionKey,
    archive_workflow_id,
    session_workflow_id,
    summary_workflow_id,
)
from domain.sessions.messages import Redispatch, SessionResult
from workflows.reaper import REAPER_ID
from workflows.session import SessionWorkflow


class Histories:
    """A stack's Temporal, read without going through the API."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def session(self, key: SessionKey) -> WorkflowHandle[SessionWorkflow, SessionResult]:
        """A session's workflow, to be updated or cancelled as an operator would."""
        return self.client.get_workflow_handle_for(SessionWorkflow.run, session_workflow_id(key))

    async def redispatch(self, key: SessionKey) -> None:
        """Have a session's agent replaced, as an operator would."""
        # The SDK's overloads leave type parameters open.
        await self.session(key).execute_update(  # pyright: ignore[reportUnknownMemberType]
            SessionWorkflow.redispatch, Redispatch(by="a test")
        )

    async def reap(self) -> None:
        """Have the reaper look now, and not at its next half minute."""
        await self.client.get_schedule_handle(REAPER_ID).trigger()

    async def runs(self, workflow_id: str) -> list[WorkflowExecution]:
        """All runs of a workflow id, by Temporal's visibility."""
        query = f"WorkflowId = '{workflow_id}'"
        return [execution async for execution in self.client.list_workflows(query)]

    async def fetch(self, workflow_id: str) -> WorkflowHistory | None:
        """A workflow's history, encrypted as it is stored; None if there is no such workflow."""
        try:
            return await self.client.get_workflow_handle(workflow_id).fetch_history()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def of_session(self, key: SessionKey) -> list[WorkflowHistory]:
        """The histories of a session's workflow and of its children."""
        ids = (session_workflow_id(key), archive_workflow_id(key), summary_workflow_id(key))
        found = [await self.fetch(workflow_id) for workflow_id in ids]
        return [history for history in found if history is not None]


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload inside a message, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        entry = descriptor.message_type
        if entry.GetOptions().map_entry:
            inner = [one for one in value.values() if isinstance(one, Message)]
        elif isinstance(value, Message):
            inner = [value]
        else:
            inner = list(value)
        for one in inner:
            yield from payloads(one)


async def in_clear(history: WorkflowHistory, codec: PayloadCodec) -> WorkflowHistory:
    """A copy of a history with all its payloads decoded; it replays like the original."""
    events = [type(event).FromString(event.SerializeToString()) for event in history.events]
    for event in events:
        for payload in payloads(event):
            [decoded] = await codec.decode([payload])
            payload.CopyFrom(decoded)
    return replace(history, events=events)


def stored_bytes(history: WorkflowHistory) -> bytes:
    """Everything that Temporal stores of a workflow, in one piece to search in."""
    return b"\n".join(event.SerializeToString() for event in history.events)


def event_names(history: WorkflowHistory) -> Sequence[str]:
    """The types of a history's events, in order."""
    return [event.WhichOneof("attributes") or "" for event in history.events]
