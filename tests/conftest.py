"""What all tests share: the real servers of `tests.servers`."""

pytest_plugins = ["tests.servers"]
