"""The search attributes of sessions as Temporal's client reads them.

`workflows.book` writes them, with keys of its own: workflows and adapters know nothing of each
other, and names and types are the domain's.
"""

from temporalio.common import SearchAttributeKey

from domain.sessions.search_attributes import SearchAttribute

STATE = SearchAttributeKey.for_keyword(SearchAttribute.STATE.value)
AGENT = SearchAttributeKey.for_keyword(SearchAttribute.AGENT.value)
ROOM = SearchAttributeKey.for_keyword(SearchAttribute.ROOM.value)
OUTCOME = SearchAttributeKey.for_keyword(SearchAttribute.OUTCOME.value)
END_REASON = SearchAttributeKey.for_keyword(SearchAttribute.END_REASON.value)
WAITING_FOR = SearchAttributeKey.for_keyword(SearchAttribute.WAITING_FOR.value)
WAITING_SINCE = SearchAttributeKey.for_datetime(SearchAttribute.WAITING_SINCE.value)
ATTEMPTS = SearchAttributeKey.for_int(SearchAttribute.JOIN_ATTEMPTS.value)
