"""A saved configuration with an inline one on top.

- A field that the inline configuration names wins; one that it does not name stays as saved.
- Objects (`engine`, `conversation_start`, `dynamic_variables`, `avatar` …) are merged the same way,
  field by field and to any depth.
- Lists (`tools`, `lyzr_tools` …) are replaced as a whole.
- An explicit null removes the saved value where the field may be null
  (docs/reference/saved-agents.md lists the fields that may not): an empty list empties a list, and
  an entry of a map can only be changed.
- Another `engine.kind` replaces the engine except for its language: a pipeline's models mean
  nothing to a realtime model.
"""

from typing import Any, cast

from domain.agents.config import AgentConfig, Engine
from domain.agents.masking import with_stored_secrets

Fields = dict[str, Any]


def merged(saved: AgentConfig, inline: AgentConfig) -> AgentConfig:
    """`saved` with everything that `inline` names; masks in `inline` keep the saved secrets.

    Raises:
        InvalidInput: a mask that stands for no saved secret.
    """
    base = saved.model_dump(exclude_unset=True)
    over = with_stored_secrets(inline, saved).model_dump(exclude_unset=True)
    if _other_kind(saved, over):
        base["engine"] = {"language": saved.engine.language}
    return AgentConfig.model_validate(_merged(base, over))


def _other_kind(saved: AgentConfig, over: Fields) -> bool:
    engine = cast(Fields, over.get("engine") or {})
    return engine.get("kind", saved.engine.kind) != saved.engine.kind


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
    """The engine with other fields; of another kind it keeps the language alone."""
    kept = engine.model_dump(exclude_unset=True)
    if fields.get("kind", engine.kind) != engine.kind:
        kept = {"language": engine.language}
    return Engine.model_validate(kept | fields)
