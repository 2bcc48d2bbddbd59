"""The outside world behind the ports of `domain`: LiveKit, MongoDB, Temporal and more."""
