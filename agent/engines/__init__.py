"""Engines: stt, llm and tts, built from the `engine` part of a configuration.

A new kind of engine is a module with two functions, entered in `ENGINES`.
"""

from collections.abc import Callable, Mapping

from agent.engines.parts import EngineFault, EngineInputs, EngineParts, EngineUnavailable, Notice
from agent.engines.pipeline import build_pipeline, load_pipeline_plugins
from agent.engines.realtime.engine import build_realtime, load_realtime_plugin
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

ENGINES: Mapping[
    EngineKind, tuple[Callable[[EngineInputs], None], Callable[[EngineInputs], EngineParts]]
] = {
    EngineKind.PIPELINE: (load_pipeline_plugins, build_pipeline),
    EngineKind.REALTIME: (load_realtime_plugin, build_realtime),
}
"""What loads the plugins of an engine, and what builds it."""


def load_engine_plugins(inputs: EngineInputs) -> None:
    """Import what the engine needs and is not imported yet; on the process's main thread."""
    if engine := ENGINES.get(inputs.config.engine.kind):
        engine[0](inputs)


def build_engine(inputs: EngineInputs) -> EngineParts:
    """The parts of the configured engine; asks its providers, so it may block for some seconds.

    Call it in a thread, after `load_engine_plugins`.

    Raises:
        EngineFault: the engine cannot start as configured; another attempt would not help.
    """
    kind = inputs.config.engine.kind
    if engine := ENGINES.get(kind):
        return engine[1](inputs)
    known = ", ".join(sorted(ENGINES))
    raise EngineFault(
        "engine.kind", f"this agent worker has no {kind.value!r} engine", f"use one of: {known}"
    )
