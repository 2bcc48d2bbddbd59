"""Nothing that was said and no secret reaches the log through the SDK's records."""

import logging
from collections.abc import Generator

import pytest

from agent.logs import ExternalRecords


@pytest.fixture
def sdk() -> Generator[tuple[logging.Logger, list[str]]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = {name: value for name, value in vars(record).items() if name == "job_id"}
            lines.append(f"{self.format(record)} {fields} {sorted(vars(record))}")

    logger = logging.getLogger("livekit.agents.test")
    handler = Keep()
    handler.addFilter(ExternalRecords())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger, lines
    logger.removeHandler(handler)


def test_fields_are_kept_only_if_they_are_harmless(sdk: tuple[logging.Logger, list[str]]) -> None:
    logger, lines = sdk
    logger.warning(
        "turn", extra={"job_id": "AJ_1", "lk.pii.transcript": "my pin", "text": "my pin"}
    )

    assert "AJ_1" in lines[0]
    assert "my pin" not in lines[0]
    assert "transcript" not in lines[0]


def test_an_exception_is_a_place_and_a_type(sdk: tuple[logging.Logger, list[str]]) -> None:
    logger, lines = sdk
    try:
        raise ValueError("my pin")
    except ValueError as error:
        logger.exception("it broke: %s", error)
        logger.error("failed to say text: %s", str(error))
        logger.error(f"closing due to unrecoverable error: {error}")

    assert not any("my pin" in line for line in lines)
    assert "test_logs.py" in lines[0]
    assert "ValueError" in lines[0]


def test_an_exception_in_a_field_is_named_by_its_kind(
    sdk: tuple[logging.Logger, list[str]],
) -> None:
    logger, _ = sdk
    record = logging.makeLogRecord(
        {"name": logger.name, "msg": "retrying", "error": ConnectionError("my pin")}
    )
    ExternalRecords().filter(record)

    assert vars(record)["error"] == "ConnectionError"


def test_the_attempt_of_a_record_is_the_sessions_and_the_sdks_is_a_retry() -> None:
    record = logging.makeLogRecord({"name": "livekit.agents", "msg": "failed", "attempt": 2})
    ExternalRecords().filter(record)
    # As the SDK does in the job's process, behind our filter, and never over what is there.
    for name, value in {"session_id": "s1", "attempt": 1}.items():
        vars(record).setdefault(name, value)
    # Once more in the process that writes it.
    ExternalRecords().filter(record)

    fields = vars(record)
    assert (fields["session_id"], fields["attempt"], fields["retry"]) == ("s1", 1, 2)


def test_our_own_records_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.makeLogRecord({"name": "agent.call.call", "msg": "x", "variables": ["a"]})
    ExternalRecords().filter(record)

    assert vars(record)["variables"] == ["a"]
