"""The catalogs: which tools, models and voices can be configured. They need no key."""

from datetime import date
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, create_model

from api.dependencies import Deps
from domain.agents.catalogs import ModelKind, ModelList, Provider, Tool
from domain.agents.config import AgentConfig

router = APIRouter(prefix="/config", tags=["config"])

CACHE_CONTROL = "public, max-age=300"


class Choice(BaseModel):
    """Something to choose, with the name to show for it."""

    id: str
    name: str


class ProviderOptions(BaseModel):
    """A provider's models, as descriptors that a configuration can name, and its voices."""

    id: str
    name: str
    models: list[Choice]
    voices: list[Choice]
    customVoices: bool = Field(description="voices that are not listed work as well")
    defaultModel: str
    defaultVoice: str | None
    source: str

    @classmethod
    def of(cls, provider: Provider) -> "ProviderOptions":
        """From the catalog's entry."""
        return cls(
            id=provider.id,
            name=provider.name,
            models=[Choice(id=f"{provider.id}/{name}", name=name) for name in provider.models],
            voices=[Choice(id=name, name=name) for name in provider.voices],
            customVoices=provider.custom_voices,
            defaultModel=f"{provider.id}/{provider.default_model}",
            defaultVoice=provider.default_voice,
            source=provider.source,
        )


class ModelOptions(BaseModel):
    """The models of one kind."""

    date: date
    providers: list[ProviderOptions]

    @classmethod
    def of(cls, models: ModelList) -> "ModelOptions":
        """From the catalog's list."""
        return cls(date=models.date, providers=[ProviderOptions.of(p) for p in models.providers])


class PipelineOptions(BaseModel):
    """What a pipeline engine can be made of: `engine.stt`, `engine.llm`, `engine.tts`."""

    stt: ModelOptions
    llm: ModelOptions
    tts: ModelOptions


class ToolOption(BaseModel):
    """A tool that `tools` can name."""

    id: str
    name: str
    description: str
    configSchema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the configuration fields that it works with"
    )

    @classmethod
    def of(cls, tool: Tool) -> "ToolOption":
        """From the catalog's entry."""
        known = AgentConfig.model_fields
        fields: dict[str, Any] = {
            name: (known[name].annotation, known[name]) for name in tool.configured_by
        }
        schema = create_model(tool.id, **fields).model_json_schema() if fields else None
        return cls(id=tool.id, name=tool.name, description=tool.description, configSchema=schema)


class ToolOptions(BaseModel):
    """What `tools` can name."""

    date: date
    tools: list[ToolOption]


@router.get("/tools")
async def list_tools(deps: Deps, response: Response) -> ToolOptions:
    """The tool registry."""
    response.headers["Cache-Control"] = CACHE_CONTROL
    found = deps.catalog.tools
    return ToolOptions(date=found.date, tools=[ToolOption.of(tool) for tool in found.tools])


@router.get("/realtime-options")
async def get_realtime_options(deps: Deps, response: Response) -> ModelOptions:
    """The realtime providers (OpenAI, Gemini, Ultravox, xAI Grok), their models and voices."""
    response.headers["Cache-Control"] = CACHE_CONTROL
    return ModelOptions.of(deps.catalog.models[ModelKind.REALTIME])


@router.get("/pipeline-options")
async def get_pipeline_options(deps: Deps, response: Response) -> PipelineOptions:
    """The models for hearing, thinking and speaking."""
    response.headers["Cache-Control"] = CACHE_CONTROL
    models = deps.catalog.models
    return PipelineOptions(
        stt=ModelOptions.of(models[ModelKind.STT]),
        llm=ModelOptions.of(models[ModelKind.LLM]),
        tts=ModelOptions.of(models[ModelKind.TTS]),
    )
