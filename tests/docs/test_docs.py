"""The documents say what the code does: variables, routes, states, limits, links."""

import re
from collections.abc import Iterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings

from adapters import settings
from api.app import create_app
from api.dependencies import ApiDependencies
from domain.agents.config import AgentConfig
from domain.sessions.end_reasons import EndReason
from domain.sessions.session import GivenLimits, Outcome, SessionState, WaitingFor
from stack.binaries.catalog import SERVERS
from stack.layout import environment, ports
from stack.layout.temporal_setup import SEARCH_ATTRIBUTES
from stack.models.settings import ModelsSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# Read where there is no settings class: by the stack's own command, and by the Makefile.
OF_THE_STACK = {
    "EVERLINE_HOME",
    "EVERLINE_WITHOUT",
    "XDG_CACHE_HOME",
    "EVERLINE_API_URL",
    "EVERLINE_API_KEY",
    "EVERLINE_CHROMIUM",
    environment.PASS_VARIABLE,
}

# The codec's routes exist only with its secret and are left out of the OpenAPI document.
CODEC_ROUTES = {
    "POST /codec/{given}/decode",
    "POST /codec/{given}/encode",
    "OPTIONS /codec/{given}/{operation}",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or above."""
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"there is no heading {heading!r}"
    rank = heading.partition(" ")[0].count("#")
    return re.split(rf"\n#{{1,{rank}}} ", rest)[0]


def first_cells(table: str) -> set[str]:
    """Every name in code style in the first column of the tables of a text."""
    names: set[str] = set()
    for line in table.splitlines():
        if line.startswith("| `"):
            names.update(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return names


# ── variables ────────────────────────────────────────────────────────────────────────────────────


def subclasses(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


def variables_of(kind: type[BaseSettings]) -> set[str]:
    """The environment variables of a settings class."""
    prefix = kind.model_config.get("env_prefix", "")
    names: set[str] = set()
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names.update(str(choice).upper() for choice in alias.choices)
        else:
            names.add(f"{prefix}{name}".upper())
    return names


def test_every_variable_is_in_the_table_and_no_other() -> None:
    ours = [
        kind
        for kind in subclasses(BaseSettings)
        if kind.__module__.startswith(f"{settings.__name__}.")
    ]
    known = set[str]().union(*(variables_of(kind) for kind in [*ours, ModelsSettings]))
    known |= {setting.variable for setting in ports.SETTINGS}
    known |= {server.variable for server in SERVERS} | OF_THE_STACK
    documented = first_cells(section(read("docs/reference/environment.md"), "## All variables"))
    assert documented == known


def test_the_variables_without_a_settings_class_are_really_read() -> None:
    sources = [*(ROOT / "stack").rglob("*.py"), ROOT / "Makefile"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert {name for name in OF_THE_STACK if name not in text} == set()


# ── routes ───────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def no_lifespan(app: FastAPI):
    yield


def routes() -> set[str]:
    # The routes are declared without any of the services being used.
    app = create_app(cast(ApiDependencies, None), no_lifespan, [])
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    declared = {f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs}
    return declared | CODEC_ROUTES


def test_every_route_is_in_the_table_and_no_other() -> None:
    assert first_cells(section(read("docs/reference/api.md"), "## Routes")) == routes()


def test_every_route_that_a_document_names_exists() -> None:
    named = re.compile(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`?\s]*)")
    found = {
        (path.name, route) for path in DOCUMENTS for route in named.findall(path.read_text("utf-8"))
    }
    known = routes()
    assert {pair for pair in found if pair[1] not in known} == set()


# ── words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "table"), [(SessionState, "| state |"), (Outcome, "| outcome |")]
)
def test_states_and_outcomes_are_explained(words: type[StrEnum], table: str) -> None:
    assert explained(table) == {word.value for word in words}


def test_end_reasons_are_explained() -> None:
    assert explained("| end reason |") == {reason.value for reason in EndReason}


def explained(table: str) -> set[str]:
    text = section(read("docs/reference/session-states.md"), "## States, outcomes, end reasons")
    _, _, rest = text.partition(table)
    return first_cells(rest.split("\n\n")[0])


def test_what_a_session_waits_for_is_named() -> None:
    text = section(read("docs/reference/session-states.md"), "### What a session waits for")
    assert set(re.findall(r"`([a-z_]+)`", text)) == {wait.value for wait in WaitingFor}


def test_search_attributes_are_in_the_table_with_their_types() -> None:
    rows = re.findall(r"\| `(Session\w+)` \| (\w+) \|", read("docs/reference/session-states.md"))
    assert dict(rows) == SEARCH_ATTRIBUTES


def test_limits_are_in_the_table_with_their_defaults() -> None:
    limits = section(read("docs/reference/api.md"), "### Limits")
    rows = re.findall(r"\| `(\w+)` \| ([\d.]+) \|", limits)
    documented = {name: float(default) for name, default in rows}
    assert documented == GivenLimits().model_dump()


# ── links ────────────────────────────────────────────────────────────────────────────────────────


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


def broken_links(document: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text("utf-8"))):
            yield target


def test_fields_of_a_configuration_that_take_no_null_are_in_the_table() -> None:
    def takes_null(name: str) -> bool:
        try:
            AgentConfig.model_validate({name: None})
        except ValidationError:
            return False
        return True

    text = section(read("docs/reference/saved-agents.md"), "### What takes no null")
    table = text.partition("\n\nSo are")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(row.split(" | ")[0] for row in table.splitlines())))
    refusing = {name for name in AgentConfig.model_fields if not takes_null(name)}
    assert named & AgentConfig.model_fields.keys() == refusing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    assert list(broken_links(document)) == []
