"""The audit of locked packages, without a network, and how its advisories are renewed."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from deploy.supply_chain import advisories, audit, policy, refresh
from deploy.supply_chain.advisories import Advisory, Database
from deploy.supply_chain.locks import GO, PYTHON, LockError, Package, packages
from deploy.supply_chain.policy import Accepted
from tests.deploy.compose import ROOT
from tests.servers import free_port

JSON = dict[str, Any]
TODAY = date(2026, 3, 1)
RULES = policy.load().model_copy(update={"accepted": [], "warn_after_days": 30})


def advisory(*events: JSON, name: str = "h11", ecosystem: str = PYTHON, **fields: Any) -> Advisory:
    """An advisory about one package."""
    kind = "SEMVER" if ecosystem == GO else "ECOSYSTEM"
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": kind, "events": list(events)}],
    }
    record = {"id": "GHSA-1", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}
    return Advisory.model_validate(record | fields)


def package(version: str, name: str = "h11", ecosystem: str = PYTHON) -> Package:
    return Package(ecosystem, name, version, "requirements/base.txt")


# ── the lock files ───────────────────────────────────────────────────────────────────────────────


def test_every_pin_of_every_lock_file_is_read() -> None:
    found = packages()
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned = re.findall(r"^([\w.-]+)(?:\[.*?\])?==(\S+)", path.read_text(), re.MULTILINE)
        read = [(one.name, one.version) for one in found if one.lock == f"requirements/{path.name}"]
        assert read == sorted((name.lower(), version) for name, version in pinned)
    for path in (ROOT / "stack/binaries").glob("*/go.mod"):
        lock = path.relative_to(ROOT).as_posix()
        read = {(one.name, f"v{one.version}") for one in found if one.lock == lock}
        required = re.findall(r"^\s(\S+) (v\S+)", path.read_text(), re.MULTILINE)
        assert set(required) <= read
        assert len(read) >= 100, lock
    assert all(one.sha256 for one in found if one.ecosystem == PYTHON)


@pytest.mark.parametrize("line", ["h11==1.0", "h11 --hash=sha256:00", "h11>=1 --hash=sha256:00"])
def test_what_is_not_pinned_by_hash_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/base.txt").write_text(f"{line}\n")
    with pytest.raises(LockError, match="make lock"):
        packages(tmp_path)


# ── whom an advisory concerns ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("events", "affected", "unaffected"),
    [
        ([{"introduced": "0"}], ["0", "0.1", "99"], []),
        ([{"introduced": "0"}, {"fixed": "0.16.0"}], ["0.9", "0.15", "0.16.0rc1"], ["0.16", "1"]),
        ([{"introduced": "2.0"}, {"last_affected": "2.3"}], ["2.0", "2.3.0"], ["1.9", "2.3.1"]),
        (
            [{"introduced": "2"}, {"fixed": "2.4"}, {"introduced": "3"}, {"fixed": "3.1"}],
            ["2.3.9", "3.0"],
            ["1", "2.4", "2.9", "3.1"],
        ),
        # Not in order.
        ([{"fixed": "2.4"}, {"introduced": "2"}], ["2.1"], ["1", "2.4"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.0"}], ["1.0"], ["0.9", "1.0.1"]),
        ([{"introduced": "0"}, {"fixed": "1!1.0"}], ["2024.1"], ["1!1.0"]),
    ],
)
def test_ranges(events: list[JSON], affected: list[str], unaffected: list[str]) -> None:
    one = advisory(*events)
    assert [version for version in affected if not one.concerns(package(version))] == []
    assert [version for version in unaffected if one.concerns(package(version))] == []
    assert not one.concerns(package(affected[0], "h12"))


def test_versions_that_are_named() -> None:
    affected = {"package": {"ecosystem": PYTHON, "name": "h11"}, "versions": ["1.0.0", "1.2"]}
    one = Advisory.model_validate({"id": "x", "modified": "", "affected": [affected]})
    assert one.concerns(package("1.0"))
    assert not one.concerns(package("1.1"))


def test_commits_are_not_versions() -> None:
    git = {"type": "GIT", "repo": "https://example.com", "events": [{"introduced": "0"}]}
    affected = {"package": {"ecosystem": PYTHON, "name": "h11"}, "ranges": [git]}
    one = Advisory.model_validate({"id": "x", "modified": "", "affected": [affected]})
    assert not one.concerns(package("1.0"))


def test_an_advisory_that_was_withdrawn_concerns_nobody() -> None:
    one = advisory({"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")
    assert not one.concerns(package("1.0"))


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ("1.9.9", True),
        ("2.0.0-rc.9", True),
        ("2.0.0-20240101000000-abcdef123456", True),
        ("2.0.0", False),
        ("2.0.0+incompatible", False),
        ("10.0.0", False),
    ],
)
def test_go_versions(version: str, is_affected: bool) -> None:
    one = advisory({"introduced": "0"}, {"fixed": "2.0.0"}, name="x.dev/y", ecosystem=GO)
    assert one.concerns(package(version, "x.dev/y", GO)) == is_affected


# ── the check ────────────────────────────────────────────────────────────────────────────────────


def database(*found: Advisory, refreshed: date | None = TODAY, asked: str = "h11") -> Database:
    return Database(
        refreshed=refreshed, source="test", asked={PYTHON: [asked]}, advisories=list(found)
    )


def test_an_affected_package_fails_the_check_and_the_way_out_is_named() -> None:
    known = database(advisory({"introduced": "0"}, {"fixed": "0.16.0"}, aliases=["CVE-1"]))

    [fault] = audit.faults([package("0.15"), package("0.16")], known, RULES, TODAY)

    assert fault == "h11 0.15 (requirements/base.txt): CVE-1, GHSA-1; fixed in 0.16.0"


@pytest.mark.parametrize("named", ["GHSA-1", "CVE-1"])
def test_an_advisory_may_be_accepted_for_a_time(named: str) -> None:
    known = database(advisory({"introduced": "0"}, aliases=["CVE-1"]))
    accepted = Accepted(id=named, reason="not used that way", until=TODAY)
    rules = RULES.model_copy(update={"accepted": [accepted]})

    assert audit.faults([package("1")], known, rules, TODAY) == []
    [fault] = audit.faults([package("1")], known, rules, date(2026, 3, 2))
    assert fault.endswith("it was accepted until 2026-03-01")


def test_what_is_old_or_missing_is_only_warned_of() -> None:
    locked = [package("1")]
    assert audit.warnings(locked, database(), RULES, TODAY) == []
    assert audit.warnings(locked, database(), RULES, date(2026, 3, 31)) == []
    [old] = audit.warnings(locked, database(), RULES, date(2026, 4, 1))
    assert "31 days old" in old
    assert "make audit-refresh" in old
    [new] = audit.warnings(locked, database(asked="other"), RULES, TODAY)
    assert "not asked about h11" in new
    [by_hand] = audit.warnings(locked, database(refreshed=None), RULES, TODAY)
    assert "by hand" in by_hand


def test_the_committed_advisories_are_read_and_would_be_noticed() -> None:
    known = advisories.load()
    assert known.advisories
    names = {one.name for one in packages()}
    concerned: set[str] = set()
    for one in known.advisories:
        for affected in one.affected:
            assert affected.package.name in names, f"{one.id} is about no locked package"
            concerned.add(affected.package.name)
    old = [Package(PYTHON, name, "0.0.1", "requirements/base.txt") for name in concerned]
    assert {finding.package.name for finding in advisories.findings(old, known.advisories)}


def test_the_check_is_part_of_make_check_and_needs_no_network() -> None:
    check = (ROOT / "Makefile").read_text().partition("\ncheck:")[2].partition("\n\n")[0]
    for module in ("audit", "licences"):
        assert f"-m deploy.supply_chain.{module}" in check
        # No route to anywhere: a connection would raise.
        done = subprocess.run(
            [sys.executable, "-c", NO_NETWORK.format(module=module)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


NO_NETWORK = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a network is used")
socket.socket.connect = socket.getaddrinfo = refuse
from deploy.supply_chain import {module}
sys.argv[1:] = []
sys.exit({module}.main())
"""


# ── renewal ──────────────────────────────────────────────────────────────────────────────────────

RECORDS: dict[str, JSON] = {
    "GHSA-a": {
        "id": "GHSA-a",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "One",
        "details": "a long text",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "h11", "purl": "pkg:pypi/h11"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            },
            {"package": {"ecosystem": "npm", "name": "h11"}, "versions": ["1.0"]},
        ],
    },
    "GHSA-b": {"id": "GHSA-b", "modified": "2026-01-01T00:00:00Z", "affected": []},
}


@pytest.fixture
async def osv() -> AsyncGenerator[str]:
    """OSV's two routes that are used; the answers about h11 have two pages."""

    async def batch(request: web.Request) -> web.Response:
        results: list[JSON] = []
        for query in (await request.json())["queries"]:
            if query["package"] != {"ecosystem": "PyPI", "name": "h11"}:
                results.append({})
            elif "page_token" in query:
                results.append({"vulns": [{"id": "GHSA-b"}]})
            else:
                results.append({"vulns": [{"id": "GHSA-a"}], "next_page_token": "2"})
        return web.json_response({"results": results})

    async def one(request: web.Request) -> web.Response:
        return web.json_response(RECORDS[request.match_info["id"]])

    app = web.Application()
    app.add_routes([web.post("/v1/querybatch", batch), web.get("/v1/vulns/{id}", one)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_advisories_are_renewed_from_osv(osv: str) -> None:
    names = [("Go", "x.dev/y"), ("PyPI", "anyio"), ("PyPI", "h11")]

    def ask() -> Database:
        with httpx.Client(base_url=osv) as client:
            return refresh.database(client, names)

    found = await asyncio.to_thread(ask)

    assert found.asked == {"Go": ["x.dev/y"], "PyPI": ["anyio", "h11"]}
    assert [one.id for one in found.advisories] == ["GHSA-a", "GHSA-b"]
    assert [one.package.ecosystem for one in found.advisories[0].affected] == ["PyPI"]
    assert "a long text" not in found.model_dump_json()
    assert found.refreshed is not None
    again = Database.model_validate(json.loads(found.model_dump_json(exclude_defaults=True)))
    assert again == found
    assert audit.faults([package("1.0")], again, RULES, TODAY)


async def test_an_osv_that_does_not_answer_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(refresh, "OSV", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(advisories, "FILE", tmp_path / "advisories.json")
    assert await asyncio.to_thread(refresh.main) == 1
    assert "OSV did not answer" in capsys.readouterr().err
    assert not (tmp_path / "advisories.json").exists()
