"""What can be injected; each fault is plain data, so that a plan can be printed and compared."""

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """A process of the stack."""

    API = "api"
    WORKER = "worker"
    AGENT = "agent"
    TEMPORAL = "temporal"
    LIVEKIT = "livekit"
    MONGODB = "mongodb"


class Wire(StrEnum):
    """A connection between two parts that runs through a proxy."""

    API_TEMPORAL = "api-temporal"
    API_MONGODB = "api-mongodb"
    API_LIVEKIT = "api-livekit"
    WORKER_TEMPORAL = "worker-temporal"
    WORKER_MONGODB = "worker-mongodb"
    WORKER_LIVEKIT = "worker-livekit"
    AGENT_LIVEKIT = "agent-livekit"
    AGENT_API = "agent-api"


class Mode(StrEnum):
    """What a proxy does with the requests and responses on a wire."""

    REFUSE = "refuses connections"
    DELAY = "delays"
    TRUNCATE = "truncates responses"
    FAIL_BEFORE = "fails before the request is done"
    FAIL_AFTER = "does the request, then drops the connection"
    TIME_OUT = "does the request, then never responds"
    NOT_FOUND = "responds 404"
    TOO_LARGE = "responds 413"
    BAD_GATEWAY = "responds 502"
    HTML = "responds with an HTML page"
    EMPTY_LISTS = "responds with empty lists"


ANY_PROTOCOL = (
    *(Mode.REFUSE, Mode.DELAY, Mode.TRUNCATE),
    *(Mode.FAIL_BEFORE, Mode.FAIL_AFTER, Mode.TIME_OUT),
)
HTTP_ONLY = (Mode.NOT_FOUND, Mode.TOO_LARGE, Mode.BAD_GATEWAY, Mode.HTML)


class Delivery(StrEnum):
    """What happens to LiveKit's webhooks."""

    DUPLICATE = "duplicates"
    REORDER = "reorders"
    WITHHOLD = "withholds"


class Outside(StrEnum):
    """What somebody does to a workflow without going through Everline."""

    CANCEL = "cancels"
    TERMINATE = "terminates"
    RESET = "resets"


@dataclass(frozen=True)
class Fault:
    """One fault. `pick` (0 to 1) chooses among the calls that are open at that moment."""

    @property
    def kind(self) -> str:
        """The row of the report."""
        raise NotImplementedError


@dataclass(frozen=True)
class Kill(Fault):
    """`kill -9`; the supervisor starts the part again."""

    part: Part

    @property
    def kind(self) -> str:
        return f"kill -9 {self.part}"


@dataclass(frozen=True)
class Freeze(Fault):
    """SIGSTOP, and SIGCONT after some seconds."""

    part: Part
    seconds: float

    @property
    def kind(self) -> str:
        return f"SIGSTOP {self.part}"


@dataclass(frozen=True)
class Restart(Fault):
    """SIGTERM; the supervisor starts the part again."""

    part: Part

    @property
    def kind(self) -> str:
        return f"restart {self.part}"


@dataclass(frozen=True)
class KillJob(Fault):
    """`kill -9` of the process that talks in one call."""

    pick: float

    @property
    def kind(self) -> str:
        return "kill -9 agent job"


@dataclass(frozen=True)
class FreezeJob(Fault):
    """SIGSTOP of the process that talks in one call, and SIGCONT after some seconds."""

    pick: float
    seconds: float

    @property
    def kind(self) -> str:
        return "SIGSTOP agent job"


@dataclass(frozen=True)
class BreakWire(Fault):
    """A proxy misbehaves for some seconds."""

    wire: Wire
    mode: Mode
    seconds: float

    @property
    def kind(self) -> str:
        return f"wire {self.mode}"


@dataclass(frozen=True)
class DisturbWebhooks(Fault):
    """LiveKit's webhooks arrive otherwise for some seconds."""

    delivery: Delivery
    seconds: float

    @property
    def kind(self) -> str:
        return f"webhooks: {self.delivery}"


@dataclass(frozen=True)
class RepeatCallbacks(Fault):
    """The callbacks that one call's agents have made are made again, in another order."""

    pick: float

    @property
    def kind(self) -> str:
        return "callbacks: repeats, reordered"


@dataclass(frozen=True)
class FromOutside(Fault):
    """A session's workflow is changed by somebody else."""

    action: Outside
    pick: float

    @property
    def kind(self) -> str:
        return f"workflow: {self.action}"


@dataclass(frozen=True)
class Flood(Fault):
    """Starts at once, more than there is room for."""

    starts: int

    @property
    def kind(self) -> str:
        return "flood of starts"


@dataclass(frozen=True)
class FullDisk(Fault):
    """The agent server and its jobs can write no file for some seconds, as on a full disk."""

    seconds: float

    @property
    def kind(self) -> str:
        return "full disk (agent)"


@dataclass(frozen=True)
class LoseLists(Fault):
    """LiveKit's Redis forgets everything."""

    @property
    def kind(self) -> str:
        return "FLUSHALL redis"


@dataclass(frozen=True)
class KillRedis(Fault):
    """LiveKit's Redis dies and comes back empty."""

    @property
    def kind(self) -> str:
        return "kill -9 redis"
