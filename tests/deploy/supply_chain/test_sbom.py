"""The software bill of materials: complete, valid and the same each time."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from deploy.supply_chain import licences, sbom
from deploy.supply_chain.locks import GO, PYTHON, Package, packages, unique

AT = datetime(2026, 3, 1, tzinfo=UTC)
JSON = dict[str, Any]


@pytest.fixture(scope="module")
def text() -> str:
    return sbom.text(AT)


@pytest.fixture
def components(text: str) -> list[JSON]:
    return json.loads(text)["components"]


def test_it_is_valid_and_reproducible(text: str) -> None:
    assert JsonStrictValidator(sbom.VERSION).validate_str(text) is None
    assert sbom.text(AT) == text
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["timestamp"].startswith("2026-03-01")


def test_every_locked_package_is_in_it_once(components: list[JSON]) -> None:
    named = [(one["name"], one["version"].removeprefix("v")) for one in components]
    assert sorted(named) == sorted((name, version) for _, name, version in unique(packages()))
    assert len({one["purl"] for one in components}) == len(components)


def test_hashes_and_licences_are_those_of_the_lock_files(components: list[JSON]) -> None:
    known, by_purl = licences.read(), {one["purl"]: one for one in components}
    for one in packages():
        if one.ecosystem == PYTHON:
            found = by_purl[f"pkg:pypi/{one.name}@{one.version}"]
            assert {each["content"] for each in found["hashes"]} == set(one.sha256)
            assert found["licenses"] == [{"expression": known[one.name]}] or (
                found["licenses"][0]["license"]["id"] == known[one.name]
            )
        else:
            version = one.version.replace("+", "%2B")
            assert f"pkg:golang/{one.name}@v{version}" in by_purl


@pytest.mark.parametrize(
    ("locks", "scope"),
    [
        ({"requirements/base.txt", "requirements/dev.txt"}, "required"),
        ({"requirements/dev.txt"}, "excluded"),
        ({"requirements/stack.txt"}, "optional"),
        ({"stack/binaries/livekit/go.mod"}, "optional"),
    ],
)
def test_what_a_package_is_for(locks: set[str], scope: str) -> None:
    locked = [Package(PYTHON, "h11", "1.0", lock, ("0" * 64,)) for lock in locks]
    bom = sbom.bill(locked, {"h11": "MIT"}, "digest", AT)
    [component] = list[Any](bom.components)
    assert component.scope is not None
    assert component.scope.value == scope
    assert GO not in str(component.purl)
