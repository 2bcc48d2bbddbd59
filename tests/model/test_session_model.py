"""Thousands of orders in which messages, failures and time reach a session: `machine.py`."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Session

# To shrink a failing order would take minutes; the steps that are printed show it as well.
PHASES = (Phase.explicit, Phase.generate)
QUICK = settings(max_examples=300, stateful_step_count=30, phases=PHASES)
LONG = settings(QUICK, max_examples=20_000, stateful_step_count=60, derandomize=False)


def test_every_session_comes_to_one_honest_end(request: pytest.FixtureRequest) -> None:
    longer = request.config.getoption("--model-long")
    run_state_machine_as_test(Session, settings=LONG if longer else QUICK)  # pyright: ignore[reportUnknownMemberType]
