"""Reading the catalog's data files, and extending it by models of one's own."""

from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

from domain.agents.catalogs.catalog import Catalog, ModelKind, ModelList, Provider, ToolList
from domain.agents.descriptors import parse_descriptor
from domain.errors import InvalidInput

EXTRA_MODELS_VARIABLE = "EVERLINE_EXTRA_MODELS"


class ExtraModel(NamedTuple):
    """A model that this installation has beside the catalog's."""

    kind: ModelKind
    provider: str
    model: str
    """`*` for every model of the provider."""


def parse_extra_models(text: str) -> tuple[ExtraModel, ...]:
    """Read `[kind=]provider/model` entries, comma separated; without a kind it is an `llm`.

    Raises:
        InvalidInput: naming the entry that is wrong.
    """
    entries = (entry.strip() for entry in text.split(","))
    return tuple(_extra(entry) for entry in entries if entry)


def _extra(entry: str) -> ExtraModel:
    kind, separator, name = entry.rpartition("=")
    cure = "write provider/model, or stt=, tts=, llm= or realtime= before it; provider/* for all"
    if separator and kind not in set(ModelKind):
        raise InvalidInput(
            f"{kind!r} in {entry!r} is no kind of model", field=EXTRA_MODELS_VARIABLE, cure=cure
        )
    found = parse_descriptor(name, EXTRA_MODELS_VARIABLE, cure)
    return ExtraModel(ModelKind(kind or "llm"), found.provider, found.model)


def extended(catalog: Catalog, extra: Iterable[ExtraModel]) -> Catalog:
    """The catalog with further models; a provider that is new to a kind is added to it."""
    models = dict(catalog.models)
    for one in extra:
        models[one.kind] = _with_model(models[one.kind], one)
    return Catalog(models, catalog.tools)


def _with_model(models: ModelList, extra: ExtraModel) -> ModelList:
    known = models.provider(extra.provider)
    if known is None:
        provider = Provider(
            id=extra.provider,
            name=extra.provider,
            source=EXTRA_MODELS_VARIABLE,
            default_model=extra.model,
            models=(extra.model,),
            custom_voices=True,
        )
        return models.model_copy(update={"providers": (*models.providers, provider)})
    if extra.model in known.models:
        return models
    # Whoever serves other models under a provider's name may serve other voices as well.
    provider = known.model_copy(
        update={"models": (*known.models, extra.model), "custom_voices": True}
    )
    others = tuple(provider if one.id == known.id else one for one in models.providers)
    return models.model_copy(update={"providers": others})


def _load() -> Catalog:
    folder = resources.files(__package__ or "domain.agents.catalogs")
    models = {
        kind: ModelList.model_validate_json((folder / f"{kind.value}.json").read_bytes())
        for kind in ModelKind
    }
    return Catalog(models, ToolList.model_validate_json((folder / "tools.json").read_bytes()))


BUILT_IN = _load()
"""The catalog as it is shipped."""
