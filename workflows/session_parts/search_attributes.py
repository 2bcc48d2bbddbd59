"""The search attributes of a session's workflow.

The workflow writes them, Temporal's client reads them. They stay in clear: ids, states and times
only.
"""

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from domain.sessions.search_attributes import SearchAttribute
    from domain.sessions.session import SessionInput, SessionState, WaitingFor

STATE = SearchAttributeKey.for_keyword(SearchAttribute.STATE.value)
ORG = SearchAttributeKey.for_keyword(SearchAttribute.ORG.value)
AGENT = SearchAttributeKey.for_keyword(SearchAttribute.AGENT.value)
ROOM = SearchAttributeKey.for_keyword(SearchAttribute.ROOM.value)
OUTCOME = SearchAttributeKey.for_keyword(SearchAttribute.OUTCOME.value)
END_REASON = SearchAttributeKey.for_keyword(SearchAttribute.END_REASON.value)
JOIN_ATTEMPTS = SearchAttributeKey.for_int(SearchAttribute.JOIN_ATTEMPTS.value)
WAITING_FOR = SearchAttributeKey.for_keyword(SearchAttribute.WAITING_FOR.value)
WAITING_SINCE = SearchAttributeKey.for_datetime(SearchAttribute.WAITING_SINCE.value)


def search_attributes(request: SessionInput, now: datetime) -> TypedSearchAttributes:
    """Search attributes of a session at its start. They stay in clear: ids, states, times only."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(ORG, request.org),
            SearchAttributePair(AGENT, request.config.agent_id or request.agent_name),
            SearchAttributePair(ROOM, request.livekit_room),
            SearchAttributePair(STATE, SessionState.STARTING.value),
            SearchAttributePair(WAITING_FOR, WaitingFor.ROOM.value),
            SearchAttributePair(WAITING_SINCE, now),
        ]
    )
