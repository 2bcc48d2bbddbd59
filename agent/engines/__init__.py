"""Engines: what hears, thinks and speaks, built from the `engine` part of a configuration.

A new kind of engine is a module with a builder, entered in `ENGINES`.
"""

from collections.abc import Callable, Mapping

from agent.engines.faults import EngineFault, EngineUnavailable, Notice
from agent.engines.parts import EngineInputs, EngineParts
from agent.engines.pipeline import build_pipeline, load_pipeline_plugins
from agent.engines.realtime import build_realtime, load_realtime_plugin
from domain.agents.config import EngineKind

__all__ = [
    "EngineFault",
    "EngineInputs",
    "EngineParts",
    "EngineUnavailable",
    "Notice",
    "build_engine",
    "load_engine_plugins",
]

EngineBuilder = Callable[[EngineInputs], EngineParts]

ENGINES: Mapping[EngineKind, EngineBuilder] = {
    EngineKind.PIPELINE: build_pipeline,
    EngineKind.REALTIME: build_realtime,
}


def load_engine_plugins(inputs: EngineInputs) -> None:
    """Import what the engine needs and is not imported yet; on the process's main thread."""
    if inputs.config.engine.kind is EngineKind.PIPELINE:
        load_pipeline_plugins(inputs)
    elif inputs.config.engine.kind is EngineKind.REALTIME:
        load_realtime_plugin(inputs)


def build_engine(inputs: EngineInputs) -> EngineParts:
    """The parts of the configured engine; asks its providers, so it may block for some seconds.

    To be called in a thread, after `load_engine_plugins`.

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
