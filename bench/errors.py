"""What stops the bench."""


class BenchError(Exception):
    """A measurement that cannot go on; the message says why."""
