"""The models server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.models.serving import ModelsServer, serving_models

QUEUE_LIMIT = 1
"""Kept small so that a test can fill the lanes: two requests of a kind are taken, no more."""


@pytest.fixture(scope="session")
def models_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelsServer]:
    folder = tmp_path_factory.mktemp("models")
    with serving_models(folder, EVERLINE_MODELS_QUEUE_LIMIT=str(QUEUE_LIMIT)) as server:
        yield server
