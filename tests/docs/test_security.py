"""The security document names tests that exist, for every threat and every risk."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/explanation/security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@cache
def functions_of(path: str) -> frozenset[str]:
    """The names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in functions_of(path)


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_threat_names_its_test() -> None:
    threats = rows("Threats")
    assert len(threats) > 15
    assert [row for row in threats if "tests/" not in row[-1]] == []


def test_the_top_ten_are_ten_and_each_names_its_test() -> None:
    risks = rows("OWASP API Security Top 10 (2023)")
    assert [row[0].split()[0] for row in risks] == [f"API{number}" for number in range(1, 11)]
    assert [row for row in risks if "tests/" not in row[-1]] == []
