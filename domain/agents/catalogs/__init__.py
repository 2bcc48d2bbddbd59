"""What can be configured: models, voices and tools, as data files that name source and date.

A new model or tool is a line in one of the JSON files beside this module; the `/config/…` routes,
the check at the door and the console follow.
"""

from domain.agents.catalogs.catalog import Catalog, ModelKind, ModelList, Provider, Tool
from domain.agents.catalogs.loading import BUILT_IN, ExtraModel, extended, parse_extra_models

__all__ = [
    "BUILT_IN",
    "Catalog",
    "ExtraModel",
    "ModelKind",
    "ModelList",
    "Provider",
    "Tool",
    "extended",
    "parse_extra_models",
]
