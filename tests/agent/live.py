"""A real agent worker in a real room with a caller; only the API behind its callbacks is a fake."""

import json
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import psutil
from livekit import api
from livekit.protocol import agent_dispatch
from livekit.protocol import room as rooms
from livekit.protocol.models import ParticipantInfo

from domain.agents.config import AgentConfig, ConversationStart
from domain.ids import SessionKey
from domain.sessions.control import CONTROL_TOPIC, FinishCall
from domain.sessions.dispatch_metadata import EverlineMetadata, dispatch_metadata
from stack.supervision.health import Check, NotHealthyError
from tests.fakes.callback_api import CallbackApi
from tests.harness.caller import Caller
from tests.servers import LiveKitServer, ServerProcess
from tests.waiting import eventually

SPEECH = Path("stack/demo/speech").absolute()
BOOK_A_TABLE = SPEECH / "1-book-a-table.wav"
TOMORROW_AT_SEVEN = SPEECH / "2-tomorrow-at-seven.wav"
GOODBYE = SPEECH / "5-goodbye.wav"
CallerKind = Literal["standard", "sip"]
GREETING = "Hello, this is the table service."


@dataclass
class AgentWorker:
    """`python -m agent.server.main`, with its log as JSON lines."""

    name: str
    process: ServerProcess
    spool: Path

    def log(self, event: str) -> list[dict[str, Any]]:
        """The records of one event, in order."""
        found: list[dict[str, Any]] = []
        text = self.process.log.read_text(errors="replace")
        # Without a line that is being written.
        for line in text[: text.rfind("\n") + 1].splitlines():
            if line.startswith("{"):
                record: dict[str, Any] = json.loads(line)
                if record["event"] == event:
                    found.append(record)
        return found

    def job_process(self, job_id: str) -> psutil.Process:
        """The process that runs a job which has claimed its attempt."""
        [record] = [each for each in self.log("attempt_claimed") if each["job_id"] == job_id]
        return psutil.Process(record["pid"])

    def exit_code(self) -> int | None:
        """How its process ended, if it has."""
        return self.process.process.poll() if self.process.process else None


@asynccontextmanager
async def start_agent(
    livekit: LiveKitServer,
    models_url: str,
    callback_url: str,
    folder: Path,
    name: str,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> AsyncGenerator[AgentWorker]:
    """An agent worker for the block, registered with LiveKit."""
    worker = AgentWorker(
        name=name,
        spool=folder / "spool",
        process=ServerProcess(
            command=_with_environment(
                "agent.server.main",
                LIVEKIT_URL=livekit.url,
                LIVEKIT_API_KEY=livekit.api_key,
                LIVEKIT_API_SECRET=livekit.api_secret,
                AGENT_NAME=name,
                EVERLINE_CALLBACK_URL=callback_url,
                EVERLINE_SPOOL_DIR=str(folder / "spool"),
                EVERLINE_DRAIN_SECONDS="0",
                **{
                    "OPENAI_BASE_URL": f"{models_url}/v1",
                    "OPENAI_API_KEY": "none",
                    "NODE_ENV": "production",
                    **environment,
                },
            ),
            check=_registered(folder / "agent.log", len(_read(folder / "agent.log"))),
            log=folder / "agent.log",
        ),
    )
    try:
        await worker.process.start()
        yield worker
    finally:
        worker.process.stop()


def start_models_command(port: int) -> list[str]:
    """The command of the stack's `models` process on this port."""
    return _with_environment("stack.models", EVERLINE_MODELS_PORT=str(port))


def _with_environment(module: str, **environment: str) -> list[str]:
    settings = [f"{name}={value}" for name, value in environment.items()]
    return ["env", *settings, sys.executable, "-m", module]


def _read(log: Path) -> bytes:
    return log.read_bytes() if log.exists() else b""


def _registered(log: Path, written: int) -> Check:
    def registered() -> bool:
        # Not what an agent worker before this one wrote. A process waits for the first job, which
        # otherwise waits for Python to start.
        told = _read(log)[written:]
        return b"registered worker" in told and b"process initialized" in told

    async def check(since: float) -> None:
        if not registered():
            raise NotHealthyError("the agent worker has not registered")

    return check


@dataclass
class LiveSession:
    """One room with a fake API behind its callbacks."""

    livekit: LiveKitServer
    worker: AgentWorker
    callbacks: CallbackApi
    session_id: str
    lk: api.LiveKitAPI
    config: AgentConfig = field(
        default_factory=lambda: AgentConfig(
            conversation_start=ConversationStart(who="ai", greeting=GREETING)
        )
    )

    @property
    def room(self) -> str:
        """LiveKit's name of the room."""
        return f"local.{self.session_id}"

    async def dispatch(
        self, attempt: int = 1, *, unanswered: bool = False, undelivered_turn: str | None = None
    ) -> None:
        """Dispatch the agent as Everline does."""
        everline = EverlineMetadata(
            org="local",
            attempt=attempt,
            callback_url=self.callbacks.url,
            callback_token=self.callbacks.token,
            caller_identity="caller",
            unanswered=unanswered,
            undelivered_turn=undelivered_turn,
        )
        key = SessionKey("local", self.session_id)
        metadata = dispatch_metadata(self.config, key, None, everline)
        await self.dispatch_metadata(metadata.model_dump_json())

    async def dispatch_metadata(self, metadata: str) -> None:
        """Dispatch the agent with any metadata."""
        await self.lk.agent_dispatch.create_dispatch(
            agent_dispatch.CreateAgentDispatchRequest(
                room=self.room, agent_name=self.worker.name, metadata=metadata
            )
        )

    async def call(self, kind: CallerKind = "standard") -> Caller:
        """A caller in the room."""
        caller = Caller()
        token = api.AccessToken(self.livekit.api_key, self.livekit.api_secret)
        grants = api.VideoGrants(room_join=True, room=self.room)
        await caller.connect(
            self.livekit.url,
            token.with_identity("caller").with_kind(kind).with_grants(grants).to_jwt(),
        )
        return caller

    async def ask_to_finish(self, reason: str) -> None:
        """Send the agent the message that Everline sends."""
        message = FinishCall(reason=reason).model_dump_json().encode()
        await self.lk.room.send_data(
            rooms.SendDataRequest(room=self.room, data=message, topic=CONTROL_TOPIC)
        )

    async def agents(self) -> list[ParticipantInfo]:
        """The agents that LiveKit sees in the room."""
        listed = await self.lk.room.list_participants(rooms.ListParticipantsRequest(room=self.room))
        return [each for each in listed.participants if each.kind == ParticipantInfo.AGENT]

    async def wait_until_no_agent(self) -> None:
        """Wait until LiveKit sees no agent in the room."""

        async def gone() -> bool:
            return not await self.agents()

        await eventually(gone, within=30, what="the agent has left")

    async def remove(self, identity: str) -> None:
        """Remove a participant, as Everline removes the ghost of a lost agent; it may be gone."""
        try:
            await self.lk.room.remove_participant(
                rooms.RoomParticipantIdentity(room=self.room, identity=identity)
            )
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:
                raise

    async def delete_room(self) -> None:
        """Delete the room; that it is gone already is fine."""
        try:
            await self.lk.room.delete_room(rooms.DeleteRoomRequest(room=self.room))
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:
                raise

    async def wait_until_claimed(self, claims: int = 1) -> None:
        """Wait until the agent has the answer to so many claims: then it listens and reports."""
        await self.callbacks.wait_for(lambda: len(self.callbacks.of("ready")) >= claims)

        def claimed() -> bool:
            logged = self.worker.log("attempt_claimed")
            return any(record["job_id"] == self.claimed_job() for record in logged)

        await eventually(claimed, within=30, what="the agent knows that its claim was accepted")

    def claimed_job(self) -> str:
        """The job of the latest claim."""
        return self.callbacks.of("ready")[-1].body["job_id"]


@asynccontextmanager
async def live_session(
    livekit: LiveKitServer, worker: AgentWorker, session_id: str
) -> AsyncGenerator[LiveSession]:
    """A room of its own, deleted afterwards."""
    async with (
        CallbackApi() as callbacks,
        api.LiveKitAPI(livekit.api_url, livekit.api_key, livekit.api_secret) as lk,
    ):
        session = LiveSession(livekit, worker, callbacks, session_id, lk)
        await lk.room.create_room(
            rooms.CreateRoomRequest(name=session.room, empty_timeout=60, departure_timeout=60)
        )
        try:
            yield session
        finally:
            await session.delete_room()
