"""Which installation tests are, without asking Temporal."""

INSTALLATION = "tests"


class FixedInstallation:
    """The port `Installation`."""

    def __init__(self, name: str = INSTALLATION) -> None:
        self._name = name

    async def id(self) -> str:
        return self._name
