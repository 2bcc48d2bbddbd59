"""Logging of the agent worker: structured, without transcripts or secrets.

Job processes send their records to the agent server's process, which writes them. The agents SDK
puts transcripts, metadata and messages of exceptions into its records; of external records only the
fixed part of the message and a few harmless fields are kept.
"""

import logging
import re
import sys
import traceback

import structlog

from adapters.settings import AgentSettings

OURS = ("agent.", "adapters.", "domain.", "__main__")
_QUIET = ("httpx", "httpx2", "openai", "mcp", "asyncio")
_HARMLESS = frozenset(
    {"job_id", "session_id", "org", "attempt", "room", "room_id", "agent_name", "dispatch_id"}
    | {"pid", "id", "worker_id", "url", "region", "protocol", "version", "packages", "plugin"}
    | {"elapsed_time", "timeout", "delay", "duration", "load", "threshold", "retry_count"}
    | {"max_retry", "max_retries", "attempts", "retry", "reason", "type", "status", "status_code"}
    | {"recoverable", "model", "provider", "label", "memory_usage_mb", "memory_limit_mb"}
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUOTING = re.compile(r"(error|failed|exception)[^:]*: .*", re.IGNORECASE | re.DOTALL)


class ExternalRecords(logging.Filter):
    """Removes from other libraries' records what may hold parts of a conversation or a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Reduce the record; never drops it."""
        # Left by the sending handler; it would be printed as a field.
        vars(record).pop("message", None)
        if record.name.startswith(OURS):
            return True
        if "session_id" not in vars(record) and "attempt" in vars(record):
            # The SDK's retry count, which would keep the session's own field from being added.
            vars(record)["retry"] = vars(record).pop("attempt")
        for name in set(vars(record)) - _STANDARD - _HARMLESS:
            value = vars(record).pop(name)
            if isinstance(value, BaseException):
                setattr(record, name, _kind(value))
        record.msg = _without_quotes(record)
        record.args = None
        if record.exc_info:
            record.exc_text = frames(record.exc_info[1])
            record.exc_info = None
        return True


def configure_logging(settings: AgentSettings) -> None:
    """Set up the agent server's process: one line a record, JSON in production."""
    renderer = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if settings.development
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.getLogger().handlers = [handler]
    configure_job_logging(settings)


def configure_job_logging(settings: AgentSettings) -> None:
    """Set up a job's process, whose records the SDK's handler sends to the agent server."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.setLevel(settings.log_level)
    for handler in root.handlers:
        # In a job's process as well: the handler formats exceptions before sending them.
        handler.addFilter(ExternalRecords())
    for name in _QUIET:
        # Their records hold whole URLs, and those of tools may quote the conversation.
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_quotes(record: logging.LogRecord) -> str:
    """The message, with errors named by their kind only."""
    if record.args and isinstance(record.args, tuple):
        record.args = tuple(
            _kind(value) if isinstance(value, BaseException) else value for value in record.args
        )
    return _QUOTING.sub(lambda match: match.group().partition(": ")[0], record.getMessage())


def _kind(error: BaseException) -> str:
    """What went wrong, without the message: `WSServerHandshakeError 401`."""
    status = getattr(error, "status_code", None) or getattr(error, "status", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__


def frames(error: BaseException | None) -> str:
    """Where an exception happened and of which type it is, without its message."""
    if error is None:
        return ""
    last = traceback.extract_tb(error.__traceback__)[-8:]
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in last]
    return "\n".join([*lines, type(error).__name__])
