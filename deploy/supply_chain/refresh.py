"""Renew the committed advisories from OSV; needs a network (`make audit-refresh`)."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import httpx

from deploy.supply_chain import advisories
from deploy.supply_chain.advisories import Advisory, Database
from deploy.supply_chain.locks import packages, unique

OSV = "https://api.osv.dev"
AT_ONCE = 100
"""Packages in one request."""


def refreshed(osv: httpx.Client, names: Sequence[tuple[str, str]]) -> list[Advisory]:
    """All advisories about packages, whichever of their versions they concern.

    Args:
        osv: a client with OSV's base URL.
        names: ecosystem and name of each package.

    Raises:
        httpx.HTTPError: OSV did not answer.
    """
    ids = sorted(set(_ids(osv, names)))
    return [_trimmed(_get(osv, f"/v1/vulns/{one}"), set(names)) for one in ids]


def _ids(osv: httpx.Client, names: Sequence[tuple[str, str]]) -> Iterator[str]:
    queries = [{"package": {"ecosystem": one, "name": name}} for one, name in names]
    while queries:
        asked, queries = queries[:AT_ONCE], queries[AT_ONCE:]
        response = osv.post("/v1/querybatch", json={"queries": asked})
        results: list[dict[str, Any]] = response.raise_for_status().json()["results"]
        for query, result in zip(asked, results, strict=True):
            for one in result.get("vulns", []):
                yield one["id"]
            if token := result.get("next_page_token"):
                queries.append(query | {"page_token": token})


def _get(osv: httpx.Client, path: str) -> Any:
    return osv.get(path).raise_for_status().json()


def _trimmed(record: Any, names: set[tuple[str, str]]) -> Advisory:
    """An advisory without the packages that are not locked here."""
    advisory = Advisory.model_validate(record)
    advisory.affected = [
        one for one in advisory.affected if (one.package.ecosystem, one.package.name) in names
    ]
    return advisory


def database(osv: httpx.Client, names: Sequence[tuple[str, str]]) -> Database:
    """What is committed."""
    asked = {
        ecosystem: [name for _, name in group]
        for ecosystem, group in groupby(sorted(names), key=lambda one: one[0])
    }
    return Database(
        refreshed=datetime.now(UTC).date(),
        source=OSV,
        asked=asked,
        advisories=refreshed(osv, names),
    )


def main() -> int:
    """Ask OSV about every locked package and write the answers; returns the exit code."""
    names = sorted({(ecosystem, name) for ecosystem, name, _ in unique(packages())})
    try:
        with httpx.Client(base_url=OSV, timeout=30) as osv:
            found = database(osv, names)
    except httpx.HTTPError as error:
        sys.stderr.write(f"audit-refresh: OSV did not answer: {type(error).__name__}: {error}\n")
        return 1
    text = found.model_dump_json(indent=1, exclude_defaults=True)
    advisories.FILE.write_text(f"{text}\n", encoding="utf-8")
    sys.stdout.write(f"audit-refresh: {len(found.advisories)} advisories\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
