"""Catalogs of the tools, models and voices to configure. They need no key."""

from datetime import date
from typing import Any

from fastapi import Depends, Response
from pydantic import BaseModel, Field, create_model

from api.answers import CamelCaseAnswer
from api.dependencies import ApiDependencies, Deps
from api.known_names import require_known_query
from api.problems import problems
from api.routing import Router
from domain.agents.catalogs import ModelKind, Tool
from domain.agents.config import AgentConfig


async def _cacheable(response: Response) -> None:
    response.headers["Cache-Control"] = "public, max-age=300"


router = Router(
    prefix="/config",
    tags=["config"],
    dependencies=[Depends(_cacheable), Depends(require_known_query)],
    responses=problems(422),
)


class Choice(BaseModel):
    """An option with its display name."""

    id: str
    name: str


class ProviderOptions(CamelCaseAnswer):
    """A provider's voices, and its models as descriptors for a configuration."""

    id: str
    name: str
    models: list[Choice]
    voices: list[Choice] = Field(description="a selection, if unlisted voices also work")
    custom_voices: bool = Field(description="whether voices that are not listed also work")
    default_model: str
    default_voice: str | None
    source: str


class ModelOptions(BaseModel):
    """The models of one kind."""

    date: date
    providers: list[ProviderOptions]


class PipelineOptions(BaseModel):
    """Models for a pipeline engine: `engine.stt`, `engine.llm`, `engine.tts`."""

    stt: ModelOptions
    llm: ModelOptions
    tts: ModelOptions


class ToolOption(CamelCaseAnswer):
    """A tool for `tools`."""

    id: str
    name: str
    description: str
    config_schema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the configuration fields that it uses"
    )


class ToolOptions(BaseModel):
    """All tools for `tools`."""

    date: date
    tools: list[ToolOption]


@router.get("/tools")
async def list_tools(deps: Deps) -> ToolOptions:
    """List the tools that a configuration can use."""
    found = deps.catalog.tools
    tools = [ToolOption.of(tool, config_schema=_config_schema(tool)) for tool in found.tools]
    return ToolOptions(date=found.date, tools=tools)


@router.get("/realtime-options")
async def get_realtime_options(deps: Deps) -> ModelOptions:
    """List the realtime providers (OpenAI, Gemini, Ultravox, xAI Grok), models and voices."""
    return _options(deps, ModelKind.REALTIME)


@router.get("/pipeline-options")
async def get_pipeline_options(deps: Deps) -> PipelineOptions:
    """List the models for speech recognition, language and speech synthesis."""
    return PipelineOptions(
        stt=_options(deps, ModelKind.STT),
        llm=_options(deps, ModelKind.LLM),
        tts=_options(deps, ModelKind.TTS),
    )


def _options(deps: ApiDependencies, kind: ModelKind) -> ModelOptions:
    models = deps.catalog.models[kind]
    providers = [
        ProviderOptions.of(
            one,
            models=[Choice(id=f"{one.id}/{name}", name=name) for name in one.models],
            voices=[
                Choice(id=voice, name=one.voice_names.get(voice, voice)) for voice in one.voices
            ],
            default_model=f"{one.id}/{one.default_model}",
        )
        for one in models.providers
    ]
    return ModelOptions(date=models.date, providers=providers)


def _config_schema(tool: Tool) -> dict[str, Any] | None:
    known = AgentConfig.model_fields
    fields: dict[str, Any] = {
        name: (known[name].annotation, known[name]) for name in tool.configured_by
    }
    return create_model(tool.id, **fields).model_json_schema() if fields else None
