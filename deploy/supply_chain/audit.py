"""Compare the lock files with the committed advisories; part of `make check`.

It needs no network. `python -m deploy.supply_chain.refresh` renews the advisories.
"""

import sys
from datetime import UTC, date, datetime

from deploy.supply_chain import advisories, policy
from deploy.supply_chain.advisories import Database
from deploy.supply_chain.locks import Package, packages, unique
from deploy.supply_chain.policy import Policy

HOW_TO_REFRESH = "run make audit-refresh, where OSV can be reached"


def faults(locked: list[Package], database: Database, rules: Policy, today: date) -> list[str]:
    """What has to be changed: affected packages, and advisories that were accepted until now."""
    accepted = {one.id: one for one in rules.accepted}
    found: list[str] = []
    for finding in advisories.findings(locked, database.advisories):
        allowed = [accepted[name] for name in finding.names if name in accepted]
        if not allowed:
            found.append(str(finding))
        elif all(one.until < today for one in allowed):
            found.append(f"{finding}; it was accepted until {allowed[0].until}")
    return found


def warnings(locked: list[Package], database: Database, rules: Policy, today: date) -> list[str]:
    """What the committed advisories may lack."""
    if database.refreshed is None:
        return [f"the advisories were entered by hand and are not complete; {HOW_TO_REFRESH}"]
    found: list[str] = []
    age = (today - database.refreshed).days
    if age > rules.warn_after_days:
        found.append(f"the advisories are {age} days old; {HOW_TO_REFRESH}")
    new = sorted(
        {one.name for one in locked if one.name not in database.asked.get(one.ecosystem, [])}
    )
    if new:
        found.append(f"OSV was not asked about {', '.join(new)}; {HOW_TO_REFRESH}")
    return found


def main() -> int:
    """Print what was found; returns the exit code."""
    locked, database, rules = packages(), advisories.load(), policy.load()
    today = datetime.now(UTC).date()
    for warning in warnings(locked, database, rules, today):
        sys.stderr.write(f"audit: warning: {warning}\n")
    found = faults(locked, database, rules, today)
    for fault in found:
        sys.stderr.write(f"audit: {fault}\n")
    if not found:
        counts = f"{len(unique(locked))} locked packages, {len(database.advisories)} advisories"
        sys.stdout.write(f"audit: {counts}, none applies\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
