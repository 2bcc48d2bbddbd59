"""What Temporal refuses of one session: no client's fault, and what matters gets through."""

from collections.abc import AsyncGenerator

import grpc
import pytest

from adapters.temporal import client as temporal_client
from adapters.temporal.directory import TemporalSessionDirectory
from adapters.temporal.sessions import TemporalSessions
from domain.errors import Conflict, MessageRefused
from domain.sessions.end_reasons import ReportEnd
from domain.sessions.messages import EndRequest, Extend, ParticipantChange, ParticipantKind
from domain.sessions.messages import agent_lost as lost
from tests.fakes.agents import Plays
from tests.fakes.refusing_temporal import RefusingTemporal
from tests.workflows.calls import Call, Studio

SIGNAL, UPDATE = "SignalWorkflowExecution", "UpdateWorkflowExecution"
MOST_SIGNALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    "exceeded workflow execution limit for signal events",
)
MUTE = Plays(report_when_told=False, report_when_removed=False)


@pytest.fixture
async def temporal(studio: Studio) -> AsyncGenerator[RefusingTemporal]:
    async with RefusingTemporal(studio.settings.temporal_address) as temporal:
        yield temporal


@pytest.fixture
async def sessions(studio: Studio, temporal: RefusingTemporal) -> TemporalSessions:
    settings = studio.settings.model_copy(update={"temporal_address": temporal.address})
    client = await temporal_client.connect(settings)
    return TemporalSessions(client, settings.temporal_task_queue)


async def test_an_end_gets_through_although_a_session_takes_no_more_signals(
    studio: Studio, temporal: RefusingTemporal, sessions: TemporalSessions
) -> None:
    call = await studio.call().live()
    temporal.refused[SIGNAL] = MOST_SIGNALS

    assert await sessions.signal(call.key, EndRequest(event_id="end", by="a test"))
    assert await sessions.signal(call.key, EndRequest(event_id="end", by="a test"))

    assert (await call.closed()).ended == ("completed", "end_requested")
    assert not await sessions.signal(call.key, EndRequest(event_id="late"))


async def test_so_do_a_loss_and_a_report(
    studio: Studio, temporal: RefusingTemporal, sessions: TemporalSessions
) -> None:
    call = await studio.call(MUTE, MUTE).live()
    temporal.refused[SIGNAL] = MOST_SIGNALS
    call.gateway = sessions
    job = f"AJ_{(await call.status()).agent_identity}"

    await call.tell(lost(1, job, "its process was killed"))
    await call.until("replaced", lambda status: status.joins == 2)
    await call.crew.report(2, ReportEnd.AGENT_ENDED)

    assert (await call.closed()).ended == ("completed", "agent_ended")


async def test_what_a_session_finds_out_itself_is_refused(
    studio: Studio, temporal: RefusingTemporal, sessions: TemporalSessions
) -> None:
    call = await studio.call().live()
    temporal.refused[SIGNAL] = MOST_SIGNALS
    left = call.participant(ParticipantChange.LEFT, ParticipantKind.CALLER, "caller", "PA_1")

    with pytest.raises(MessageRefused):
        await sessions.signal(call.key, left)

    await _ends(call)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        MOST_SIGNALS,
        (grpc.StatusCode.INVALID_ARGUMENT, "Workflow history count exceeds limit."),
        (grpc.StatusCode.INVALID_ARGUMENT, "Workflow mutable state size exceeds limit."),
        (grpc.StatusCode.FAILED_PRECONDITION, "limit on the total number of updates (2000)"),
        (grpc.StatusCode.OUT_OF_RANGE, "a limit of next year's"),
    ],
)
async def test_a_limit_of_a_session_is_no_fault_of_the_request(
    studio: Studio,
    temporal: RefusingTemporal,
    sessions: TemporalSessions,
    status: grpc.StatusCode,
    text: str,
) -> None:
    call = await studio.call().live()
    temporal.refused |= {SIGNAL: (status, text), UPDATE: (status, text)}

    with pytest.raises(MessageRefused, match="Temporal accepts no message"):
        await sessions.signal(call.key, EndRequest(event_id="end"))
    with pytest.raises(MessageRefused, match="Temporal accepts no message"):
        await sessions.operate(call.key, Extend(seconds=1), None)
    job = f"AJ_{(await call.status()).agent_identity}"
    directory = TemporalSessionDirectory(sessions._client)  # pyright: ignore[reportPrivateUsage]
    # `LostJobs` tells it again, and goes on with the other sessions.
    with pytest.raises(MessageRefused, match="Temporal accepts no message"):
        await directory.tell_agent_is_lost(call.key, lost(1, job, "its agent server is silent"))

    await _ends(call)


async def test_a_refused_question_is_not_called_a_message(
    temporal: RefusingTemporal, sessions: TemporalSessions
) -> None:
    refusal = (grpc.StatusCode.FAILED_PRECONDITION, "the namespace is being handed over")
    temporal.refused |= {"ListWorkflowExecutions": refusal, "DescribeTaskQueue": refusal}

    for question in (sessions.find_by_room("acme", "acme.room"), sessions.pollers()):
        with pytest.raises(Conflict, match="Temporal does not allow this: the namespace"):
            await question


async def test_a_sessions_own_refusal_is_still_a_conflict(
    studio: Studio, sessions: TemporalSessions
) -> None:
    call = await studio.call().live()

    with pytest.raises(Conflict):
        await sessions.operate(call.key, Extend(seconds=86_400), None)

    await _ends(call)


async def _ends(call: Call) -> None:
    await call.end()
    assert (await call.closed()).ended == ("completed", "end_requested")
