"""What can go wrong on one machine, each with its cure in the message."""


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do."""


class AlreadyRunningError(StackError):
    """Another supervisor of the same home came first."""
