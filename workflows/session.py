"""The story of a session, from its start to exactly one honest end.

Read `_story` first: open the room, get an agent in, live, wind down, persist, summarise, close.
Messages from outside are in `handlers.py`: they change what is known here, and nothing else. The
activities with their time limits are in `session_activities.py`; what operators see is in
`status_tracker.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ChildWorkflowError,
    FailureError,
)

with workflow.unsafe.imports_passed_through():
    from activities.joining import AgentSeen
    from domain.errors import NotFound, RoomNameTaken
    from domain.sessions import ending as endings
    from domain.sessions.attempts import Attempt
    from domain.sessions.ending import Ending
    from domain.sessions.messages import SessionResult
    from domain.sessions.session import EndReason, Outcome, SessionInput, SessionState, WaitingFor
    from workflows.archive import start_archive, start_summary
    from workflows.callers import CallerWatch
    from workflows.failures import code_of, is_final, reason_of
    from workflows.handlers import REDISPATCH_IS_SAFE
    from workflows.waiting import passed, until

Result = TypeVar("Result")

ATTEMPTS_ON_REQUEST = 3
"""Dispatch attempts at the least when a healthy agent is replaced because somebody asked for it."""
LAST_WORDS = 10.0
"""Seconds in which a listener ends by itself once its agent has left."""


@workflow.defn(name="session")
class SessionWorkflow(CallerWatch):
    """One call with an agent, from the room's creation to its deletion."""

    @workflow.init
    def __init__(self, request: SessionInput) -> None:
        super().__init__(request)
        self._owns_room = False
        self._replacements = 0
        self._archive_is_away = not request.archive
        self._late_news: workflow.ActivityHandle[int] | None = None
        self._listening: workflow.ActivityHandle[int] | None = None

    # ── the story ────────────────────────────────────────────────────────────────────────────────

    @workflow.run
    async def run(self, request: SessionInput) -> SessionResult:
        """Run the story; a cancel of the workflow is an end like any other."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                # Shielded, because a cancel must lead through wind-down and close, not past them.
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.cancelled():
                    raise
                self._end_with(endings.CANCELLED)

    async def _story(self) -> SessionResult:
        ending = await self._call()
        self._stop_watching_callers()
        ending = await self._wind_down(ending)
        await self._stop_listening()
        await self._persist()
        await self._summarise()
        return await self._close(ending)

    async def _call(self) -> Ending:
        """From the room's creation until there is a reason to end."""
        try:
            await self._open()
            self._start_watching_callers()
            ending = await self._get_agent_in(
                endings.AGENT_NEVER_JOINED, self._limits.join_attempts
            )
            while ending is None:
                ending = await self._live() or await self._replace_agent()
        except ActivityError as error:
            return self._ending or _failure(error)
        return ending

    # ── open ─────────────────────────────────────────────────────────────────────────────────────

    async def _open(self) -> None:
        """Create the room; it is ours to delete from the moment in which it may exist."""
        # What was said before the first step is heard first: a cancel reaches `run` only now.
        await asyncio.sleep(0)
        if self._ending:
            return
        self._owns_room = True
        try:
            await self._unless_ended(self._activities.open_room())
        except ActivityError as error:
            self._owns_room = code_of(error) != RoomNameTaken.code
            raise
        self._tracker.log("room created")

    # ── dispatch and join ────────────────────────────────────────────────────────────────────────

    async def _get_agent_in(self, when_none: Ending, attempts: int) -> Ending | None:
        """An agent, proven in the room; else why there is none."""
        clock = asyncio.create_task(self._end_in_time())
        joined = await self._try_attempts(when_none, attempts)
        clock.cancel()
        if isinstance(joined, Ending):
            return joined
        await self._agent_joined(joined)
        return None

    async def _try_attempts(self, when_none: Ending, attempts: int) -> Attempt | Ending:
        """Up to so many attempts until an agent is proven in the room; else why there is none."""
        for tries in range(attempts):
            if tries:
                self._tracker.wait_for(WaitingFor.RETRY)
                pause = self._limits.join_pause(tries)
                await until(lambda: self._ending is not None, pause, "before the next attempt")
            if self._ending:
                return self._ending
            attempt = await self._try_attempt()
            if attempt.joined and not attempt.gone:
                return attempt
            if self._ending:
                return self._ending
            if attempt.failed:
                when_none = endings.agent_failed(attempt.failed)
            await self._abandon(attempt)
            if attempt.failure_is_final:
                break
            if not self._tracker.status.joins:
                # The record that tells webhooks of the start is written with the first join.
                self._announce_later()
        return when_none

    async def _try_attempt(self) -> Attempt:
        """Dispatch one agent and wait until it is proven, has failed, or its time is over."""
        last = self._attempt
        number = last.number + 1 if last else 1
        # Until it is seen, the next agent is taken for one of the same kind.
        attempt = self._attempt = Attempt(number, foreign=last is not None and last.foreign)
        self._tracker.begin_attempt(number)
        try:
            await self._unless_ended(self._activities.dispatch_agent(number))
        except ActivityError as error:
            self._dispatch_failed(attempt, error)
            return attempt
        self._tracker.dispatched(number)
        await self._await_appearance(attempt)
        if attempt.seen and not attempt.foreign:
            await self._await_readiness(attempt)
        return attempt

    def _dispatch_failed(self, attempt: Attempt, error: ActivityError) -> None:
        attempt.notes.append(f"dispatch failed: {reason_of(error)}")
        if code_of(error) == NotFound.code:
            self._end_with(endings.ROOM_LOST)
        elif is_final(error):
            attempt.failed = reason_of(error)
            attempt.failure_is_final = True

    async def _await_appearance(self, attempt: Attempt) -> None:
        """The agent participant is ACTIVE in the room: nothing less is evidence."""
        self._tracker.wait_for(WaitingFor.AGENT_JOIN)
        look = self._activities.await_agent(attempt.number)
        await until(lambda: look.done() or attempt.gone or self._ending is not None)
        if not look.done():
            look.cancel()
        try:
            self._agent_seen(attempt, await look)
        except ActivityError as error:
            attempt.notes.append(attempt.failed or attempt.lost or reason_of(error))

    def _agent_seen(self, attempt: Attempt, seen: AgentSeen) -> None:
        attempt.seen = True
        attempt.foreign = seen.foreign
        attempt.agent_identity = seen.identity
        # The webhook that a caller came may have been lost; who was seen is there.
        self._take_in_seen(seen.callers)

    async def _await_readiness(self, attempt: Attempt) -> None:
        """Our agent worker's own word that it hears, thinks and speaks."""
        if attempt.joined:
            return
        self._tracker.wait_for(WaitingFor.AGENT_READY)
        in_time = await until(
            lambda: attempt.joined or attempt.gone or self._ending is not None,
            self._limits.ready_timeout,
            "the agent's own word that it is ready",
        )
        if not in_time:
            attempt.notes.append(f"in the room, but not ready in {self._limits.ready_timeout:g} s")
        elif attempt.failed or attempt.lost:
            attempt.notes.append(attempt.failed or attempt.lost or "")

    async def _agent_joined(self, attempt: Attempt) -> None:
        self._tracker.agent_joined(attempt, self._limits.max_duration, self._live_waits_for())
        if attempt.foreign and attempt.agent_identity and self._request.archive:
            self._listening = self._activities.listen_to_agent(
                attempt.number, attempt.agent_identity
            )
        await self._record()

    async def _abandon(self, attempt: Attempt) -> None:
        """Take back an attempt, so that its agent can never meet the next one."""
        attempt.abandoned = True
        if attempt.notes:
            self._tracker.log(f"attempt {attempt.number} given up: {'; '.join(attempt.notes)}")
        try:
            removed = await self._activities.retract_attempts(attempt.number)
        except ActivityError as error:
            self._tracker.log(f"attempt {attempt.number} not taken back: {reason_of(error)}")
            return
        if removed:
            self._tracker.log(f"removed {', '.join(removed)}")

    # ── live ─────────────────────────────────────────────────────────────────────────────────────

    async def _live(self) -> Ending | None:
        """Until there is a reason to end; None if the agent is lost and has to be replaced."""
        while True:
            await self._notice_lost_agent()
            ending = self._reason_to_end()
            if ending or self._agent_must_be_replaced():
                return ending
            self._tracker.enter(SessionState.LIVE, self._live_waits_for())
            version = self._tracker.status.version
            await until(
                lambda known=version: self._tracker.status.version != known,
                self._next_check(),
                f"at the latest: {self._tracker.status.waiting_for.value} or maximum duration",
            )

    def _reason_to_end(self) -> Ending | None:
        if self._ending:
            return self._ending
        if self._caller_is_absent():
            came = self._presence.ever_came
            return endings.CALLER_LEFT if came else endings.CALLER_NEVER_JOINED
        if passed(self._tracker.status.deadline):
            return endings.MAX_DURATION
        return None

    async def _notice_lost_agent(self) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        if passed(attempt.lost_at(self._limits.lost_report_grace)):
            await self._confirm_that_it_left(attempt)
        attempt.lost = attempt.loss()

    async def _confirm_that_it_left(self, attempt: Attempt) -> None:
        """A lost connection that is made again is told as a leave, too: the room knows better."""
        left = attempt.left_detail or "no reason given"
        # What it does during the look is not forgotten: a new leave is looked at by itself.
        attempt.came_back()
        try:
            seen = await self._unless_ended(self._activities.look_for_agent(attempt.number))
        except ActivityError:
            seen = None
        if seen is not None and seen.identity == attempt.agent_identity:
            self._tracker.log(f"agent {attempt.agent_identity} is in the room again")
        elif self._ending is None:
            attempt.lost = attempt.lost or f"it left the room ({left})"

    def _agent_must_be_replaced(self) -> bool:
        """Whether the agent is lost while there is, or may come, somebody to talk to."""
        attempt = self._attempt
        if attempt is None or attempt.lost is None:
            return False
        away = self._presence.ever_came and not self._presence.present
        return attempt.replaced_by_order or not away

    async def _end_in_time(self) -> None:
        """The time of a call runs, and its caller may go, while it has no agent, too."""
        while not (ending := self._reason_to_end()):
            ends_at = self._ends_at()
            await until(
                lambda known=ends_at: self._ending is not None or self._ends_at() != known,
                _seconds_to(ends_at),
                "the call's time, while it has no agent",
            )
        self._end_with(ending)

    def _ends_at(self) -> datetime | None:
        """When time alone ends the call; None while it does not run."""
        # Once the caller is missed, a check of the room decides, not the time.
        missed_at = None if self._missed_at() else self._caller_deadline()
        times = (missed_at, self._tracker.status.deadline)
        return min((at for at in times if at), default=None)

    def _next_check(self) -> float | None:
        lost_at = self._attempt and self._attempt.lost_at(self._limits.lost_report_grace)
        return _seconds_to(self._ends_at(), lost_at)

    def _live_waits_for(self) -> WaitingFor:
        if self._presence.present:
            return WaitingFor.CALL_END
        return WaitingFor.CALLER_RETURN if self._presence.ever_came else WaitingFor.CALLER

    async def _replace_agent(self) -> Ending | None:
        """A new attempt in the same room, with the turns so far; None once the new agent is in."""
        lost = self._attempt
        if lost is None:
            raise AssertionError("an agent is replaced only after it was in the room")
        ending = endings.agent_lost(f"the agent of attempt {lost.number} is lost: {lost.lost}")
        self._tracker.agent_lost(ending.text)
        if not lost.replaced_by_order:
            if self._replacements >= self._limits.max_replacements:
                return ending
            self._replacements += 1
        await self._abandon(lost)
        await self._stop_listening()
        return await self._get_agent_in(ending, self._attempts_after(lost))

    def _attempts_after(self, lost: Attempt) -> int:
        """A healthy agent was let go on request: one dispatch that fails must not end its call."""
        attempts = self._limits.join_attempts
        if lost.replaced_by_order and workflow.patched(REDISPATCH_IS_SAFE):
            return max(attempts, ATTEMPTS_ON_REQUEST)
        return attempts

    # ── wind down ────────────────────────────────────────────────────────────────────────────────

    async def _wind_down(self, ending: Ending) -> Ending:
        """Have the agent finish, and give its report time to come."""
        self._tracker.call_over(ending)
        await self._record()
        attempt = self._attempt
        if attempt and not attempt.report:
            if attempt.joined and not attempt.gone:
                await self._collect_report(ending)
            elif self._owns_room and not attempt.abandoned:
                await self._abandon(attempt)
        if attempt:
            attempt.abandoned = True
        return endings.settled(ending, attempt, ever_joined=self._tracker.status.joins > 0)

    async def _collect_report(self, ending: Ending) -> None:
        """Ask, then insist: an agent that is removed from the room still runs its end hook."""
        grace = self._limits.report_grace
        await self._tell(self._activities.ask_agents_to_finish, ending)
        if not await until(self._report_is_settled, grace * 2 / 3, "the agent's report"):
            await self._tell(self._activities.remove_agents, ending)
            await until(self._report_is_settled, grace / 3, "the removed agent's report")
        if not (self._attempt and self._attempt.report):
            self._tracker.log("no report came, the streamed turns are what there is")

    def _report_is_settled(self) -> bool:
        return self._finalised or bool(self._attempt and self._attempt.report)

    async def _tell(
        self, step: Callable[[str, str | None], Awaitable[int]], ending: Ending
    ) -> None:
        attempt = self._attempt
        ours = attempt.agent_identity if attempt and not attempt.foreign else None
        try:
            await step(ending.reason.value, ours)
        except ActivityError as error:
            self._tracker.log(f"the agent could not be told: {reason_of(error)}")

    async def _stop_listening(self) -> None:
        """A foreign agent is gone: its listener writes down the last words and ends by itself."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        reported = self._attempt is not None and self._attempt.report is not None
        if not reported:
            await until(listening.done, LAST_WORDS, "the listener's last words")
        if not listening.done():
            listening.cancel()
        try:
            heard = await listening
        except ActivityError as error:
            if not reported:
                self._tracker.log(f"the listener was stopped: {reason_of(error)}")
        else:
            self._tracker.log(f"{heard} turns were heard in the room")

    # ── persist, summarise, close ────────────────────────────────────────────────────────────────

    async def _persist(self) -> None:
        """Seal the transcript; when MongoDB is away, a child workflow does so once it is back."""
        if not self._request.archive:
            return
        self._tracker.enter(SessionState.PERSISTING, WaitingFor.ARCHIVE)
        order = self._activities.transcript_to_seal(self._attempt.number if self._attempt else 0)
        try:
            complete = await self._activities.seal_transcript(order)
        except ActivityError as error:
            self._tracker.archive_deferred(reason_of(error))
            await start_archive(order)
            return
        self._tracker.archived(complete)

    async def _summarise(self) -> None:
        """Have the transcript summarised; a slow model never holds the room."""
        if not self._tracker.status.archived:
            return
        self._tracker.enter(SessionState.SUMMARISING, WaitingFor.SUMMARY)
        summary = await start_summary(self._request.key, self._request.config.analysis)
        if summary and await until(summary.done, self._limits.summary_wait, "the summary"):
            try:
                self._tracker.summarised((await summary).value)
            except ChildWorkflowError:
                self._tracker.summarised("failed")
        else:
            self._tracker.summarised("pending")

    async def _close(self, ending: Ending) -> SessionResult:
        """Set the terminal state in bounded time; stay open until the room is gone."""
        self._tracker.enter(SessionState.CLOSING, WaitingFor.ROOM_DELETION)
        if not self._owns_room:
            self._tracker.room_never_made()
        await self._delete_room(within=self._limits.room_deletion_wait)
        closed_at = self._tracker.close(ending)
        if self._late_news:
            # The final record announces everything.
            self._late_news.cancel()
        # LiveKit may be away for long: that the session is closed need not wait for it.
        early = asyncio.create_task(self._record_the_end()) if self._owns_room else None
        # Beside each other: a MongoDB that is away must not hold the room, nor LiveKit the slot.
        freed = asyncio.create_task(self._activities.free_slot()) if self._request.slot else None
        await self._delete_room()
        if early:
            await early
        await self._record_the_end()
        if freed:
            await freed
        await until(workflow.all_handlers_finished)
        outcome = ending.outcome or Outcome.FAILED
        return SessionResult(outcome=outcome, end_reason=ending.reason, closed_at=closed_at)

    async def _delete_room(self, within: float | None = None) -> None:
        """Unbounded, it never gives up: people repair a wrong key, and the room has to go."""
        while self._owns_room:
            try:
                await self._activities.delete_room(within)
            except ActivityError as error:
                self._tracker.log(f"the room is not deleted yet: {reason_of(error)}")
                if within is not None:
                    return
                await asyncio.sleep(60)
            else:
                self._owns_room = False
                self._tracker.room_deleted()

    # ── what the chapters share ──────────────────────────────────────────────────────────────────

    async def _unless_ended(self, step: workflow.ActivityHandle[Result]) -> Result:
        """A step's result; a reason to end lets go of a step that gets no answer.

        Raises:
            ActivityError: the step failed, or was let go.
        """
        await until(lambda: step.done() or self._ending is not None)
        if not step.done():
            step.cancel()
        return await step

    async def _record(self) -> None:
        """Keep the readable record up to date; once MongoDB was away, the end's record suffices."""
        if not self._archive_is_away:
            try:
                return await self._activities.record(self._tracker.status)
            except FailureError:
                # A local activity's failure arrives as it is, without an ActivityError around it;
                # that its worker was shut down is one, too.
                self._archive_is_away = True
                self._tracker.log("the record could not be written, it follows at the end")
        self._announce_later()

    def _announce_later(self) -> None:
        """Tell webhooks while the story goes on: they need no record, and no MongoDB just now."""
        if not self._request.archive:
            return
        if self._late_news:
            self._late_news.cancel()
        self._late_news = self._activities.announce_later(self._tracker.status)
        # Nobody waits for it, and a cancelled one has failed.
        self._late_news.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _record_the_end(self) -> None:
        if self._request.archive:
            await self._activities.record_the_end(self._tracker.status)


def _seconds_to(*times: datetime | None) -> float | None:
    """How long it is until the first of these; None if there is none."""
    soonest = min((at for at in times if at), default=None)
    return (soonest - workflow.now()).total_seconds() if soonest else None


def _failure(error: ActivityError) -> Ending:
    """A step that could not be done in its time ends the session, with the reason."""
    taken = code_of(error) == RoomNameTaken.code
    end_reason = EndReason.ROOM_NAME_TAKEN if taken else EndReason.FAILED
    return Ending(end_reason, reason_of(error), Outcome.FAILED)
