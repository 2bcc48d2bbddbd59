"""Errors of the local stack."""


class StackError(Exception):
    """The stack cannot do what was requested; the message says why and what to do."""


class AlreadyRunningError(StackError):
    """Another supervisor of the same home started first."""
