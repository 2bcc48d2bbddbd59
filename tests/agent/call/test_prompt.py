"""Dynamic variables in prompt and greeting."""

from agent.call.prompt import DEFAULT_PROMPT, words
from domain.agents.config import ConversationStart, DispatchedConfig
from domain.agents.variables import fill


def config(
    prompt: str,
    greeting: str | None = None,
    values: dict[str, str] | None = None,
    defaults: dict[str, str] | None = None,
) -> DispatchedConfig:
    return DispatchedConfig(
        prompt=prompt,
        conversation_start=ConversationStart(who="ai", greeting=greeting),
        dynamic_variables=values or {},
        dynamic_variable_defaults=defaults or {},
    )


def test_values_win_over_defaults() -> None:
    spoken = words(
        config(
            "Call {{name}} of {{ company }}.",
            "Hello {{name}}!",
            values={"name": "Anna"},
            defaults={"name": "friend", "company": "Acme"},
        )
    )

    assert spoken.prompt == "Call Anna of Acme."
    assert spoken.greeting == "Hello Anna!"
    assert spoken.missing == ()


def test_missing_variables_are_named_once_and_left_out() -> None:
    spoken = words(config("{{b}}{{a}}, {{a}}.", "Hello {{c}}!"))

    assert spoken.missing == ("a", "b", "c")
    assert spoken.prompt == ", ."
    assert spoken.greeting == "Hello !"


def test_a_value_is_not_filled_again() -> None:
    assert fill("{{a}}", {"a": "{{b}}", "b": "no"}) == ("{{b}}", set())


def test_other_braces_stay() -> None:
    assert fill("{a} {{ }} {{a b}} {{{a}}}", {"a": "x"}) == ("{a} {{ }} {{a b}} {x}", set())


def test_names_are_what_there_are_values_for() -> None:
    values = {"first name": "Anna", "Größe": "M", "a:b/c": "x"}

    assert fill("{{first name}}, {{ Größe }}, {{a:b/c}}", values) == ("Anna, M, x", set())
    assert fill("{{first  name}} {{#if x}}", values) == ("{{first  name}} {{#if x}}", set())


def test_without_a_start_the_caller_speaks_first() -> None:
    spoken = words(DispatchedConfig())

    assert spoken.prompt == DEFAULT_PROMPT
    assert not spoken.agent_speaks_first
    assert spoken.greeting is None


def test_a_greeting_is_not_said_if_the_caller_speaks_first() -> None:
    start = ConversationStart(who="human", greeting="Hello!")

    assert words(DispatchedConfig(conversation_start=start)).greeting is None


def test_the_agent_can_speak_first_without_given_words() -> None:
    spoken = words(DispatchedConfig(conversation_start=ConversationStart(who="ai")))

    assert spoken.agent_speaks_first
    assert spoken.greeting is None
