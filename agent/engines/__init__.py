"""Engines: what hears, thinks and speaks, built from the `engine` part of a configuration.

A new kind of engine is a module with a builder, entered in `ENGINES`.
"""

from collections.abc import Callable, Mapping

from agent.engines.faults import EngineFault
from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.pipeline import build_pipeline
from domain.agent_config import EngineKind

__all__ = ["EngineFault", "EngineInputs", "EngineParts", "build_engine"]

EngineBuilder = Callable[[EngineInputs], EngineParts]

ENGINES: Mapping[EngineKind, EngineBuilder] = {EngineKind.PIPELINE: build_pipeline}


def build_engine(inputs: EngineInputs) -> EngineParts:
    """The parts of the configured engine.

    Raises:
        EngineFault: the engine cannot start as configured; another attempt would not help.
    """
    kind = inputs.config.engine.kind
    builder = ENGINES.get(kind)
    if builder is None:
        known = ", ".join(sorted(ENGINES))
        raise EngineFault(
            "engine.kind", f"this agent worker has no {kind.value!r} engine", f"use one of: {known}"
        )
    return builder(inputs)
