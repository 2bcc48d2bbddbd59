"""The garbage collector leaves alone what pytest has collected: it stays for the whole run."""

import gc

import pytest

# Imports and tests make a million objects and hardly any garbage: looking for it takes seconds.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Look for the garbage of the tests alone."""
    gc.freeze()
    gc.enable()
