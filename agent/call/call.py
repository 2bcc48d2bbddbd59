"""An agent's part of a call, from the job's start to its report."""
# The SDK leaves the types of a room's event handlers and of a session's user data open:
# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from livekit import rtc
from livekit.agents import ConversationItemAddedEvent, JobContext
from livekit.agents.vad import VAD
from livekit.agents.voice.report import SessionReport

from adapters.livekit.connection import LiveKitConnection
from adapters.settings import AgentSettings
from agent.call.call_tools import CallTools
from agent.call.claim import READY_SECONDS, report_failure, retry_until
from agent.call.conversation import Conversation
from agent.call.end_cause import EndCause, finish_request, requested_end
from agent.call.history import History, read_history
from agent.call.prompt import words
from agent.call.report import build_report, report_records
from agent.call.turns import TurnLog
from agent.callbacks import CallbackClient, CallbackError, Refused
from agent.engines import (
    EngineFault,
    EngineInputs,
    EngineUnavailable,
    Notice,
    build_engine,
    load_engine_plugins,
)
from agent.sound import CallSound
from agent.sound.recording import CallRecorder
from agent.spool import (
    Disk,
    DiskHangs,
    Outbox,
    Record,
    RecordKind,
    SpoolEntry,
    Target,
    spool_id,
)
from agent.version import agent_version
from domain.recordings.recording import CallRecording
from domain.sessions.dispatch_metadata import DispatchMetadata, EverlineMetadata
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import AgentReady, ReadyAnswer
from domain.transcripts.transcript import Turn

log = structlog.stdlib.get_logger(__name__)

_T = TypeVar("_T")

HAND_IN_SECONDS = 5.0
"""How long the end of the job waits for the API; then the drainer delivers the rest. Meanwhile the
agent stays visible in the room."""


class Call:
    """One job. Without an `everline` part in its metadata it is a plain agent without callbacks."""

    def __init__(
        self, ctx: JobContext, metadata: DispatchMetadata, settings: AgentSettings, vad: VAD
    ) -> None:
        self._ctx = ctx
        self._metadata = metadata
        self._settings = settings
        self._vad = vad
        self._everline = everline = metadata.everline
        self._client = (
            CallbackClient(everline.callback_url, everline.callback_token) if everline else None
        )
        self._caller = everline.caller_identity if everline else None
        self._attempt = everline.attempt if everline else 1
        self._ending = EndCause()
        self._turn_log = TurnLog(self._attempt)
        self._streamed: dict[str, Turn] = {}
        self._started_at = datetime.now(UTC)
        self._conversation: Conversation | None = None
        self._sound: CallSound | None = None
        self._notices: list[Notice] = []
        self._outbox: Outbox | None = None
        """None before the claim is accepted."""
        self._tools: CallTools | None = None
        self._recorder: CallRecorder | None = None
        secret = settings.livekit_api_secret.get_secret_value()
        self._livekit = LiveKitConnection(settings.livekit_url, settings.livekit_api_key, secret)
        self._missing_variables: Sequence[str] = ()
        self._spoken_before = False
        """Whether LiveKit has reported the caller's voice before the agent listened."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Join, claim the attempt and open the conversation; report a failure to Everline."""
        try:
            await self._join_and_open()
        except Refused as refused:
            self._leave(f"Everline refused the agent: {refused}")
        except (EngineFault, EngineUnavailable, CallbackError) as error:
            await self._cannot_start(str(error), retryable=not isinstance(error, EngineFault))
        except Exception as error:
            # Report any fault: otherwise the caller would wait in a silent room.
            log.exception("agent_start_failed")
            reason = f"the agent could not start: {type(error).__name__}"
            await self._cannot_start(reason, retryable=True)

    def caller_connection(self) -> str | None:
        """LiveKit's sid of the caller's connection, `""` while the caller is not in the room.

        None while the agent itself is not connected.
        """
        room, caller = self._ctx.room, self._caller
        if caller is None or room.connection_state != rtc.ConnectionState.CONN_CONNECTED:
            return None
        participant = room.remote_participants.get(caller)
        return participant.sid if participant else ""

    def unanswered(self) -> bool:
        """Whether the caller speaks, or has spoken and the agent has not begun to answer."""
        return self._conversation is not None and self._conversation.unanswered

    async def hand_in(self) -> None:
        """The job's end hook: spool the report, and wait briefly for the API to accept it."""
        for task in self._tasks:
            task.cancel()
        if self._sound is not None:
            await self._sound.aclose()
        if self._outbox is None:
            return
        report = build_report(
            attempt=self._attempt,
            job_id=self._ctx.job.id,
            ending=self._ending,
            turn_log=self._turn_log,
            started_at=self._started_at,
            sdk=self._sdk_report(),
            notices=[*self._notices, *(self._sound.notices if self._sound else ())],
            missing_variables=self._missing_variables,
            recording=await self._recorded(),
            unanswered=self.unanswered(),
        )
        for record in report_records(report, self._streamed):
            self._outbox.put(record)
        delivered = await self._outbox.close(HAND_IN_SECONDS)
        log.info(
            "report_handed_in",
            end_reason=report.end_reason.value,
            turns=len(report.turns),
            delivered=delivered,
        )

    async def aclose(self) -> None:
        """Close the connections, after `hand_in`."""
        await self._livekit.aclose()
        if self._tools is not None:
            await self._tools.aclose()
        if self._client is not None:
            await self._client.aclose()

    async def _join_and_open(self) -> None:
        spoken = words(self._metadata)
        self._missing_variables = spoken.missing
        inputs = EngineInputs(config=self._metadata, settings=self._settings, vad=self._vad)
        load_engine_plugins(inputs)
        sound = self._sound = CallSound(self._metadata, self._settings)
        # In a thread, because every provider client loads the trusted certificates.
        building = self._background(asyncio.to_thread(build_engine, inputs))
        self._watch_room()
        # Connect before the session starts: the SDK can only then find a given participant.
        await self._ctx.connect()
        parts = await building
        self._notices += parts.notices
        for notice in (*parts.notices, *sound.notices):
            log.warning("configured_otherwise", field=notice.field, reason=notice.reason)
        on_close = partial(self._ctx.shutdown, "the session was closed")
        self._conversation = conversation = Conversation(
            self._metadata,
            parts,
            spoken,
            self._ending,
            sound,
            on_close,
            replaces=self._attempt > 1,
            unanswered=self._everline is not None and self._everline.unanswered,
        )
        deadline = time.monotonic() + READY_SECONDS
        self._tools = CallTools(
            self._ctx.room,
            self._livekit,
            self._metadata,
            self._settings,
            self._vad,
            self._ending,
            self._client,
            conversation.session,
            self._notices,
        )
        history = await self._history(deadline)
        conversation.session.on("conversation_item_added", self._commit)
        agent, engine = await self._tools.opening(spoken.prompt, parts, history.turns)
        await conversation.start(self._ctx.room, self._caller, history, agent, engine.accepted)
        remaining = None
        if self._everline is not None and self._client is not None:
            answer = await self._claim(self._everline, self._client, deadline)
            if not answer.accepted:
                self._leave(f"the claim was refused: {answer.reason}")
                return
            remaining = answer.remaining
        if self._ending.decided:
            await conversation.finish()
            return
        await sound.start(self._ctx.room, conversation.session)
        if self._ending.decided:
            # The call ended while waiting for an avatar; whoever ended it closes the session.
            return
        await self._start_recording(conversation)
        caller = self._ctx.wait_for_participant(identity=self._caller)
        conversation.open(
            self._background(caller),
            self._caller_here,
            remaining,
            self._ask_remaining,
            spoken_before=self._spoken_before,
        )

    async def _start_recording(self, conversation: Conversation) -> None:
        wanted = self._metadata.recording
        if wanted is None or not wanted.enabled or self._outbox is None:
            return
        storage = self._settings.everline_recordings_url
        entry = self._outbox.entry
        spool = await self._known_spool(entry.target.callback_url)
        self._recorder = recorder = await CallRecorder.start(
            conversation.session, entry, storage, spool
        )
        if storage and self._settings.everline_egress:
            # In the background: without a free service the answer takes seconds.
            self._background(recorder.hand_over(self._livekit, self._ctx.room.name, storage))

    async def _known_spool(self, callback_url: str) -> str | None:
        """The spool's id, if this agent server sends its heartbeats to the call's own API."""
        home = self._settings.everline_callback_url
        if home is None or home.rstrip("/") != callback_url.rstrip("/"):
            return None
        try:
            return await Disk().ask(partial(spool_id, Path(self._settings.everline_spool_dir)))
        except DiskHangs as error:
            log.error("spool_without_id", error=str(error))
            return None

    def _caller_here(self) -> bool:
        present = self._ctx.room.remote_participants
        return self._caller in present if self._caller else bool(present)

    async def _ask_remaining(self) -> float | None:
        client, warning = self._client, self._metadata.max_duration_warning
        if client is None or warning is None:
            return None
        # The rest of the time is for the warning, which is given if the API does not answer.
        deadline = time.monotonic() + warning.seconds_before / 2
        try:
            return await retry_until(deadline, "time_left", client.remaining)
        except CallbackError as error:
            log.warning("time_left_unknown", why=str(error))
            return None

    async def _history(self, deadline: float) -> History:
        client, everline = self._client, self._everline
        if client is None or everline is None or self._attempt == 1:
            return History([])
        spool = Path(self._settings.everline_spool_dir)
        return await read_history(client, self._metadata.session_id, everline, spool, deadline)

    async def _claim(
        self, everline: EverlineMetadata, client: CallbackClient, deadline: float
    ) -> ReadyAnswer:
        claim = AgentReady(
            attempt=self._attempt,
            job_id=self._ctx.job.id,
            identity=self._ctx.room.local_participant.identity,
            agent_version=agent_version(),
        )
        answer = await retry_until(deadline, "ready", partial(client.ready, claim))
        if answer.accepted:
            target = Target(
                session_id=self._metadata.session_id,
                job_id=self._ctx.job.id,
                **everline.model_dump(),
            )
            spool = Path(self._settings.everline_spool_dir)
            # Known before it is open: the job may end meanwhile, and the report is handed in.
            self._outbox = Outbox(SpoolEntry(spool / target.entry_name(), target), client)
            await self._outbox.open()
            log.info("attempt_claimed", remaining=answer.remaining)
        return answer

    def _commit(self, event: ConversationItemAddedEvent) -> None:
        turn = self._turn_log.turn(event.item)
        if turn is not None and self._outbox is not None:
            self._streamed[turn.item_id] = turn
            self._outbox.put(Record(kind=RecordKind.TURN, body=turn.model_dump(mode="json")))

    def _watch_room(self) -> None:
        def received(packet: rtc.DataPacket) -> None:
            request = finish_request(packet)
            if request is None or not self._ending.note(requested_end(request.reason)):
                return
            log.info("finish_requested", reason=request.reason)
            if self._outbox is not None and self._conversation is not None:
                warning = self._metadata.max_duration_warning
                timed_out = request.reason == ReportEnd.MAX_DURATION
                goodbye = warning.goodbye_text if warning and timed_out else None
                self._background(self._conversation.finish(goodbye))

        def disconnected(reason: rtc.DisconnectReason.ValueType) -> None:
            if self._ending.note_disconnect(reason):
                log.info("room_disconnected", reason=rtc.DisconnectReason.Name(reason))

        def speaking(speakers: list[rtc.Participant]) -> None:
            spoken = any(speaker.identity == self._caller for speaker in speakers)
            self._spoken_before = self._spoken_before or spoken

        self._ctx.room.on("active_speakers_changed", speaking)
        self._ctx.room.on("data_received", received)
        self._ctx.room.on("disconnected", disconnected)

    def _sdk_report(self) -> SessionReport | None:
        if self._conversation is None:
            return None
        try:
            return self._ctx.make_session_report(self._conversation.session)
        except Exception:
            # The report is more important than the SDK's part of it.
            log.exception("sdk_report_failed")
            return None

    async def _recorded(self) -> CallRecording | None:
        if self._recorder is None:
            return None
        try:
            return await self._recorder.aclose()
        except Exception:
            # The recording can be reported later; a missing report would replace the agent.
            log.exception("recording_not_closed")
            return self._recorder.recording

    async def _cannot_start(self, reason: str, *, retryable: bool) -> None:
        log.error("agent_failed", reason=reason, retryable=retryable)
        self._ending.note(ReportEnd.ERROR, reason)
        # After the claim, the report tells the reason.
        if self._everline is not None and self._outbox is None:
            await report_failure(self._everline, self._ctx.job.id, reason, retryable=retryable)
        self._ctx.shutdown(reason)

    def _leave(self, reason: str) -> None:
        log.warning("agent_leaves", reason=reason)
        self._ctx.shutdown(reason)

    def _background(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
