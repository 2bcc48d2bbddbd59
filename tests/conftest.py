"""What all tests share: the real servers of `tests.servers`, and a whole stack of its own."""

pytest_plugins = ["tests.servers", "tests.workflows.studio", "tests.harness.plugin"]
