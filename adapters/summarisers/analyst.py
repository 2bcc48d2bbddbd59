"""Analyses of calls by a model: data by a JSON Schema, and success by criteria.

The answer of a model that has read a transcript is as untrusted as the transcript. It is checked
against the schema, requested once more if it does not match, and never repaired.
"""

import json
from collections.abc import Sequence
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError
from typing_extensions import override

from adapters.summarisers.chat import MAX_ANSWER_CHARS, ChatModel
from adapters.summarisers.completion import Unusable
from adapters.summarisers.model_text import json_objects
from adapters.summarisers.prompt import analysis_instructions, wrapped
from domain.errors import InvalidInput
from domain.transcripts.analysis import AnalysisPlan, CriterionResult, Findings, Verdict
from domain.transcripts.ports import Analyst
from domain.transcripts.transcript import Turn

MAX_RATIONALE_CHARS = 1_000
_MAX_PLACE_CHARS = 100


class OpenAIAnalyst(Analyst):
    """Analyses by a chat model."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat

    @override
    async def analyse(self, turns: Sequence[Turn], plan: AnalysisPlan) -> Findings:
        schema = answer_schema(plan)
        messages = [
            {"role": "system", "content": analysis_instructions(plan.success_criteria, schema)},
            {"role": "user", "content": wrapped(turns)},
        ]
        # Not strict: that mode supports only a part of JSON Schema. The answer is checked here.
        named = {"name": "call_analysis", "strict": False, "schema": schema}
        form = {"type": "json_schema", "json_schema": named}
        try:
            return await self._chat.ask(messages, form, lambda text: _findings(text, schema))
        except Unusable as fault:
            raise InvalidInput(
                f"the model's answer did not fit the schema, twice: {fault}",
                field="analysis.data_schema",
                cure=f"make the schema simpler; or {fault.cure}",
            ) from None


def answer_schema(plan: AnalysisPlan) -> dict[str, Any]:
    """The JSON Schema of the whole answer to a plan."""
    parts: dict[str, Any] = {}
    if plan.data_schema is not None:
        parts["data"] = plan.data_schema
    if plan.success_criteria:
        verdict = _object(
            {
                "result": {"enum": [verdict.value for verdict in Verdict]},
                "rationale": {"type": "string"},
            }
        )
        parts["criteria"] = _object({one.id: verdict for one in plan.success_criteria})
    return _object(parts)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _findings(content: str, schema: dict[str, Any]) -> Findings:
    answer = _checked(content, schema)
    criteria = cast(dict[str, dict[str, str]], answer.get("criteria", {}))
    return Findings(
        data=answer.get("data"),
        criteria=[
            CriterionResult(
                id=name,
                result=Verdict(found["result"]),
                rationale=found["rationale"][:MAX_RATIONALE_CHARS],
            )
            for name, found in criteria.items()
        ],
    )


def _checked(content: str, schema: dict[str, Any]) -> dict[str, Any]:
    if len(content) > MAX_ANSWER_CHARS:
        raise Unusable(f"it is longer than {MAX_ANSWER_CHARS} characters", text=content)
    reason = "it is not JSON"
    for answer in json_objects(content):
        try:
            # Refuse lone surrogates, which JSON can contain: no response could carry them.
            json.dumps(answer, ensure_ascii=False).encode()
            # Its stub leaves the types of further parameters open.
            Draft202012Validator(schema).validate(answer)  # pyright: ignore[reportUnknownMemberType]
            return answer
        except ValidationError as error:
            place = ".".join(map(str, error.absolute_path))[:_MAX_PLACE_CHARS] or "the whole"
            reason = f"{place} is not as {error.validator} demands"
        except (ValueError, RecursionError):
            reason = "it is not JSON"
    raise Unusable(reason, text=content)
