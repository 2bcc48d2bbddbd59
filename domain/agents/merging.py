"""Merge an inline configuration into a saved one.

- A field of the inline configuration overrides the saved one; all other fields stay as saved.
- Objects (`engine`, `conversation_start`, `dynamic_variables`, `avatar` …) are merged in the same
  way, at any depth.
- Lists (`tools`, `lyzr_tools` …) are replaced as a whole.
- An explicit null removes the saved value of a nullable field (docs/reference/saved-agents.md lists
  the others). An empty list empties a list; an entry of a map can be changed, but not removed.
- Another `engine.kind` replaces the whole engine except its language, because a pipeline's models
  mean nothing to a realtime model.
"""

from typing import Any, cast

from domain.agents.config import AgentConfig, Engine
from domain.agents.masking import with_stored_secrets

Fields = dict[str, Any]


def merged(saved: AgentConfig, inline: AgentConfig) -> AgentConfig:
    """`saved` overridden by `inline`; masks in `inline` keep the saved secrets.

    Raises:
        InvalidInput: a mask that stands for no saved secret.
    """
    base = saved.model_dump(exclude_unset=True)
    over = with_stored_secrets(inline, saved).model_dump(exclude_unset=True)
    kind = cast(Fields, over.get("engine") or {}).get("kind", saved.engine.kind)
    if kind != saved.engine.kind:
        base["engine"] = {"language": saved.engine.language}
    return AgentConfig.model_validate(_merged(base, over))


def _merged(base: Fields, over: Fields) -> Fields:
    result = dict(base)
    for name, value in over.items():
        below = base.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            result[name] = _merged(cast(Fields, below), cast(Fields, value))
        else:
            result[name] = value
    return result


def another_engine(engine: Engine, **fields: object) -> Engine:
    """The engine with these fields; one of another kind keeps only the language."""
    kept = engine.model_dump(exclude_unset=True)
    if fields.get("kind", engine.kind) != engine.kind:
        kept = {"language": engine.language}
    return Engine.model_validate(kept | fields)
