"""A minute of the chaos machine on the shared stack, the same minute in every run."""

from pathlib import Path

import pytest

from tests.chaos.machine.plan import make_plan
from tests.chaos.machine.processes import external_agent
from tests.chaos.machine.run import run
from tests.harness.rig import Rig

SEED = 12
SECONDS = 60.0
COMMAND = f"make chaos SEED={SEED} MINUTES=1 ARGS=--without-redis"


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_a_minute_of_chaos_violates_nothing(rig: Rig, tmp_path: Path) -> None:
    said: list[str] = []
    plan = make_plan(SEED, SECONDS, external=True)
    async with external_agent(rig, tmp_path):
        report = await run(rig, plan, COMMAND, said.append)
    assert not report.violations, "\n".join([*said, report.text()])
    assert sum(report.outcomes.values()) >= len(plan.arrivals) / 2, report.text()
    assert sum(report.injected.values()) >= len(plan.steps) / 2, report.text()
