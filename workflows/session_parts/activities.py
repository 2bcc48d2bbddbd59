"""The activities of a session with their time limits and retries.

Steps that an operator must see pending, or that retry for long, are regular activities; the record
of the session is short, idempotent bookkeeping and therefore local.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.archive import ArchiveActivities, SealTranscript
    from activities.callers import CallerActivities, CallersSeen, LookForCallers
    from activities.capacity import CapacityActivities, CountFreePlaces, ReleasePlace
    from activities.dispatch import DispatchActivities, DispatchAgent, RetractAttempts
    from activities.finishing import FinishActivities, FinishAgents, RemoveCallers
    from activities.joining import AgentSeen, AwaitAgent, JoinActivities, LookForAgent
    from activities.listening import ListenActivities, ListenToAgent
    from activities.rooms import DeleteRoom, OpenRoom, RoomActivities
    from activities.slots import FreeSlot, SlotActivities
    from activities.webhooks import WebhookActivities
    from domain.sessions.attempts import Attempt
    from domain.sessions.session import LONGEST_CALL, SessionInput, SessionStatus

LISTENING_LIMIT = timedelta(seconds=LONGEST_CALL, hours=1)
"""The longest call with its end."""
SPOOL_LIFE = timedelta(days=7)
"""How long after the longest possible call an agent's spool may still deliver."""

_ONE_TRY = timedelta(seconds=10)
"""One try of a call to LiveKit."""
_BEFORE_THE_ANSWER = timedelta(seconds=3)
"""What an update may wait for: the API gives it five seconds."""
_QUICK_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=250), maximum_interval=timedelta(seconds=5)
)
_PATIENT_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
)

_ONCE_IT_IS_DONE = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
"""A call in flight is waited for: what it creates has to exist before it can be removed."""


class SessionActivities:
    """The steps of one session."""

    def __init__(self, request: SessionInput) -> None:
        self._request = request

    def open_room(self) -> workflow.ActivityHandle[str]:
        """Create the room; LiveKit may be down for two minutes."""
        request = self._request
        return workflow.start_activity_method(
            RoomActivities.open_room,
            OpenRoom(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                empty_timeout=request.limits.empty_timeout(),
                departure_timeout=request.limits.departure_timeout(),
            ),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=timedelta(minutes=2),
            retry_policy=_QUICK_RETRY,
            cancellation_type=_ONCE_IT_IS_DONE,
            summary=f"create room {request.livekit_room}",
        )

    async def count_free_places(self) -> int | None:
        """Calls that agent servers would take now; None if that is not known in time."""
        name = self._request.agent_name
        return await workflow.execute_activity_method(
            CapacityActivities.count_free_places,
            CountFreePlaces(agent_name=name),
            schedule_to_close_timeout=_BEFORE_THE_ANSWER,
            retry_policy=_QUICK_RETRY,
            summary=f"has {name} a free place?",
        )

    async def release_place(self) -> None:
        """Release the session's place on the agent servers, for as long as it takes."""
        request = self._request
        await workflow.execute_activity_method(
            CapacityActivities.release_place,
            ReleasePlace(org=request.org, session_id=request.session_id),
            start_to_close_timeout=_ONE_TRY,
            retry_policy=_PATIENT_RETRY,
            summary="release the session's place on an agent server",
        )

    def dispatch_agent(self, attempt: Attempt) -> workflow.ActivityHandle[str]:
        """Dispatch one attempt; gives the dispatch id."""
        request = self._request
        limits = request.limits
        longest = timedelta(seconds=limits.join_budget() + limits.caller_wait + limits.max_duration)
        expires = workflow.info().start_time + longest + SPOOL_LIFE
        return workflow.start_activity_method(
            DispatchActivities.dispatch_agent,
            DispatchAgent(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                agent_name=request.agent_name,
                attempt=attempt.number,
                user_id=request.user_id,
                caller_identity=request.caller_identity,
                max_duration=limits.max_duration,
                model=request.model,
                voice=request.voice,
                token_expires=int(expires.timestamp()),
                unanswered=attempt.unanswered,
                undelivered_turn=attempt.undelivered_turn,
            ),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=timedelta(seconds=30),
            retry_policy=_QUICK_RETRY,
            cancellation_type=_ONCE_IT_IS_DONE,
            summary=f"attempt {attempt.number}: dispatch {request.agent_name}",
        )

    def await_agent(self, attempt: int) -> workflow.ActivityHandle[AgentSeen]:
        """Look for the agent participant until this attempt's join timeout."""
        limit = self._request.limits.join_timeout
        return workflow.start_activity_method(
            JoinActivities.await_agent,
            AwaitAgent(
                org=self._request.org,
                livekit_room=self._request.livekit_room,
                attempt=attempt,
                timeout=limit,
            ),
            start_to_close_timeout=timedelta(seconds=limit) + _ONE_TRY,
            schedule_to_close_timeout=timedelta(seconds=limit) + 3 * _ONE_TRY,
            heartbeat_timeout=timedelta(seconds=8),
            retry_policy=_QUICK_RETRY,
            summary=f"attempt {attempt}: is the agent in the room?",
        )

    def look_for_agent(self, attempt: int) -> workflow.ActivityHandle[AgentSeen | None]:
        """Look once whether this attempt's agent is in the room."""
        return workflow.start_activity_method(
            JoinActivities.look_for_agent,
            LookForAgent(livekit_room=self._request.livekit_room, attempt=attempt),
            start_to_close_timeout=timedelta(seconds=8),
            schedule_to_close_timeout=timedelta(seconds=24),
            retry_policy=_QUICK_RETRY,
            summary=f"attempt {attempt}: is the agent in the room again?",
        )

    def look_for_callers(
        self, present: list[str], slower: int = 1
    ) -> workflow.ActivityHandle[CallersSeen]:
        """Which callers are in the room: at once, or as soon as one of `present` is not.

        It is retried for as long as it takes: a retry writes no history, and while LiveKit does not
        answer nothing is known.
        """
        request = self._request
        limits = request.limits
        # LiveKit closes the room after `departure_timeout`: a caller is missed before that.
        longest = max(limits.caller_return + limits.report_grace, limits.caller_check_interval())
        interval = min(limits.caller_check_interval() * slower, longest)
        return workflow.start_activity_method(
            CallerActivities.look_for_callers,
            LookForCallers(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                caller_identity=request.caller_identity,
                present=present,
                interval=interval,
            ),
            start_to_close_timeout=2 * _ONE_TRY,
            retry_policy=_PATIENT_RETRY,
            summary="does the caller stay in the room?"
            if present
            else "is the caller in the room?",
        )

    def listen_to_agent(self, attempt: int, identity: str) -> workflow.ActivityHandle[int]:
        """Write down what an external agent and its caller say, while the agent is there."""
        request = self._request
        return workflow.start_activity_method(
            ListenActivities.listen_to_agent,
            ListenToAgent(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                attempt=attempt,
                agent_identity=identity,
            ),
            start_to_close_timeout=LISTENING_LIMIT,
            heartbeat_timeout=timedelta(seconds=10),
            retry_policy=_QUICK_RETRY,
            summary=f"attempt {attempt}: hear {identity}, which sends no turns",
        )

    async def retract_attempts(self, up_to: int) -> list[str]:
        """Remove the dispatches and agents of the attempts so far."""
        request = self._request
        return await workflow.execute_activity_method(
            DispatchActivities.retract_attempts,
            RetractAttempts(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                up_to_attempt=up_to,
            ),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=timedelta(seconds=20),
            retry_policy=_QUICK_RETRY,
            summary=f"remove the agents of attempts up to {up_to}",
        )

    async def ask_agents_to_finish(self, reason: str, agent: str | None) -> int:
        """Tell the agents why the call is over: ours by its identity, others as they are listed."""
        return await workflow.execute_activity_method(
            FinishActivities.ask_agents_to_finish,
            FinishAgents(livekit_room=self._request.livekit_room, reason=reason, agent=agent),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=_ONE_TRY,
            retry_policy=_QUICK_RETRY,
            summary=f"ask the agent to finish: {reason}",
        )

    async def remove_agents(self, reason: str, agent: str | None) -> int:
        """Remove the agents from the room; their end hooks still run."""
        return await workflow.execute_activity_method(
            FinishActivities.remove_agents,
            FinishAgents(livekit_room=self._request.livekit_room, reason=reason, agent=agent),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=_ONE_TRY,
            retry_policy=_QUICK_RETRY,
            summary="remove the agent, which did not finish by itself",
        )

    async def remove_callers(self) -> int:
        """Disconnect the callers; the room stays."""
        return await workflow.execute_activity_method(
            FinishActivities.remove_callers,
            RemoveCallers(livekit_room=self._request.livekit_room),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=2 * _ONE_TRY,
            retry_policy=_QUICK_RETRY,
            summary="disconnect the callers, who have no agent any more",
        )

    async def seal_transcript(self, order: SealTranscript) -> bool:
        """Seal the transcript while the close waits; returns whether it is complete."""
        return await workflow.execute_activity_method(
            ArchiveActivities.seal_transcript,
            order,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=timedelta(seconds=self._request.limits.archive_wait),
            retry_policy=_QUICK_RETRY,
            summary="seal the transcript",
        )

    def transcript_to_seal(self, last_attempt: int) -> SealTranscript:
        """What the archive workflow takes over when MongoDB is down."""
        request = self._request
        return SealTranscript(
            org=request.org,
            session_id=request.session_id,
            agent_id=request.config.agent_id,
            last_attempt=last_attempt,
            analysis=request.config.analysis,
        )

    async def delete_room(self, within: float | None) -> bool:
        """Delete the room within some seconds, or for as long as it takes."""
        request = self._request
        return await workflow.execute_activity_method(
            RoomActivities.delete_room,
            DeleteRoom(
                org=request.org,
                session_id=request.session_id,
                livekit_room=request.livekit_room,
                insist=within is None,
            ),
            start_to_close_timeout=_ONE_TRY,
            schedule_to_close_timeout=timedelta(seconds=within) if within else None,
            retry_policy=_PATIENT_RETRY,
            summary=f"delete room {request.livekit_room}",
        )

    async def free_slot(self) -> bool:
        """Free the session's place in its org's quota, for as long as it takes."""
        request = self._request
        return await workflow.execute_activity_method(
            SlotActivities.free_slot,
            FreeSlot(org=request.org, session_id=request.session_id),
            start_to_close_timeout=_ONE_TRY,
            retry_policy=_PATIENT_RETRY,
            summary="free the session's slot",
        )

    def announce_later(self, status: SessionStatus) -> workflow.ActivityHandle[int]:
        """Tell the customer's endpoints how far the session is, once MongoDB answers.

        Not local: an update may arrive in the same task, and its acceptance and what follows a
        local activity were seen to change places at a replay.
        """
        return workflow.start_activity_method(
            WebhookActivities.announce_session,
            status,
            start_to_close_timeout=_ONE_TRY,
            retry_policy=_PATIENT_RETRY,
            summary="tell webhook endpoints how far the session is",
        )

    async def record(self, status: SessionStatus) -> None:
        """Update the session's readable record; the next one carries everything again."""
        await workflow.execute_local_activity_method(
            ArchiveActivities.record_session,
            status,
            start_to_close_timeout=timedelta(seconds=3),
            schedule_to_close_timeout=timedelta(seconds=3),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )

    async def record_the_end(self, status: SessionStatus) -> None:
        """Write the closed session's record, for as long as it takes."""
        # Not local: the workflow would complete in the very task in which LiveKit's webhook tells
        # that the room is gone, and Temporal would refuse that task and repeat it.
        await workflow.execute_activity_method(
            ArchiveActivities.record_session,
            status,
            start_to_close_timeout=_ONE_TRY,
            retry_policy=_PATIENT_RETRY,
            summary="write the session's final record",
        )
