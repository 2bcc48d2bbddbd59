"""What an agent has to hand in, kept on disk until the API has accepted it.

One entry (a directory) per attempt of a session. Its job appends and delivers; if the job is gone,
the drainer of this or of the next agent server on the same directory delivers the rest.

Disk: an entry holds a few kilobytes per minute of conversation. It lives until it is delivered, at
most until its callback token expires: then the API refuses it for good. Refused records are kept in
`rejected/` for `REJECTED_DAYS` and up to `REJECTED_BYTES`, the oldest deleted first. A recording
adds up to a megabyte per minute; it lives until it is stored, at most seven days.
"""

from agent.spool.disk import Disk, DiskHangs
from agent.spool.drainer import Drainer
from agent.spool.entry import SpoolEntry
from agent.spool.files import spool_id
from agent.spool.outbox import Outbox
from agent.spool.record import Record, RecordKind, Target
from agent.spool.undelivered import undelivered_turns
from agent.spool.uploads import Uploads

__all__ = [
    "Disk",
    "DiskHangs",
    "Drainer",
    "Outbox",
    "Record",
    "RecordKind",
    "SpoolEntry",
    "Target",
    "Uploads",
    "spool_id",
    "undelivered_turns",
]
