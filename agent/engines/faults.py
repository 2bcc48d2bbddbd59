"""Why an engine cannot start."""


class EngineFault(Exception):
    """A configuration that no attempt can start with.

    Attributes:
        field: the configuration field or setting that is wrong.
    """

    def __init__(self, field: str, problem: str, cure: str) -> None:
        super().__init__(f"{field}: {problem}; {cure}")
        self.field = field
