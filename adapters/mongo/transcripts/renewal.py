"""The renewal of a transcript's line after each write of one of the session's parts.

The repositories write first and renew afterwards, so no line stays outdated, and parts that arrive
after a deletion are removed again.
"""

from domain.ids import SessionKey


class Renewal:
    """Renews nothing, for a repository that only reads; see `MongoTranscriptLines`."""

    async def renew(self, key: SessionKey) -> bool:
        """Derive the line from the stored parts; False if the transcript was deleted."""
        return True

    async def renew_if_listed(self, key: SessionKey) -> bool:
        """As `renew`, but only for a transcript that is listed or deleted."""
        return True
