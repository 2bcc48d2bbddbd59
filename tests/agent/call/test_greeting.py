"""A caller is greeted once, by whichever agent gets to the end of it."""

from agent.call.conversation import greeting_is_due
from tests.agent.samples import turn


def test_the_first_agent_greets() -> None:
    assert greeting_is_due([])


def test_nobody_is_greeted_twice() -> None:
    assert not greeting_is_due([turn(0)])
    assert not greeting_is_due([turn(0), turn(1)])


def test_a_greeting_that_was_cut_off_is_said_again() -> None:
    cut_off = turn(0).model_copy(update={"interrupted": True})
    assert greeting_is_due([cut_off])


def test_a_caller_who_cut_the_greeting_off_is_answered_and_not_greeted() -> None:
    cut_off = turn(0).model_copy(update={"interrupted": True})
    assert not greeting_is_due([cut_off, turn(1)])
