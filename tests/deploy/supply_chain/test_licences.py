"""The licences of locked packages go with Apache-2.0."""

import pytest

from deploy.supply_chain import licences, policy
from deploy.supply_chain.locks import PYTHON, packages
from deploy.supply_chain.policy import LicenceException, Policy

RULES = Policy(licences=["MIT", "BSD-3-Clause"], warn_after_days=30)


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND BSD-3-Clause", True),
        ("(MIT OR GPL-3.0-only) AND BSD-3-Clause", True),
        ("MIT OR BSD-3-Clause AND GPL-3.0-only", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LicenseRef-their-own", False),
    ],
)
def test_one_of_several_licences_may_be_chosen(expression: str, allowed: bool) -> None:
    assert licences.is_allowed(expression, RULES) == allowed


def test_each_fault_is_named() -> None:
    gpl = LicenceException(licence="GPL-2.0-only", reason="a process of its own")
    rules = RULES.model_copy(
        update={"known": {"b": "MIT"}, "exceptions": {"d": gpl, "e": gpl, "gone": gpl}}
    )
    written = {"a": "GPL-3.0-only", "b": "ISC", "d": "GPL-2.0-only", "e": "MIT", "old": "MIT"}

    found = licences.faults(written, ["a", "b", "c", "d", "e"], rules)

    assert found == [
        "old is not locked any more",
        "c has no licence in licences.json",
        "a is under GPL-3.0-only, which is not among the allowed licences",
        "b is under MIT, not ISC",
        "b is under ISC, which is not among the allowed licences",
        "e is under MIT, but GPL-2.0-only is the exception",
        "the exception gone is not locked",
    ]


@pytest.mark.parametrize(
    ("name", "licence"), [("httpx", "BSD-3-Clause"), ("pytest", "MIT"), ("nobody-has-this", None)]
)
def test_installed_packages_state_their_licence(name: str, licence: str | None) -> None:
    assert licences.of_installed(name) == licence


def test_what_the_images_of_everline_hold_needs_no_exception() -> None:
    rules = policy.load()
    known = licences.read()
    for one in packages():
        if one.ecosystem == PYTHON and one.lock == "requirements/base.txt":
            assert licences.is_allowed(known[one.name], rules), one.name
            assert one.name not in rules.exceptions


def test_the_gpl_packages_are_in_the_stack_alone() -> None:
    known = licences.read()
    gpl = {name for name, licence in known.items() if "GPL" in licence and "LGPL" not in licence}
    locks = {one.lock for one in packages() if one.name in gpl}
    assert gpl == {"piper-tts", "secantusdb"}
    assert locks == {"requirements/stack.txt", "requirements/models.txt"}
