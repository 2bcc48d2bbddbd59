"""The API with everything behind it, opened once for all tests of this folder."""

from tests.api.conftest import door, house

__all__ = ["door", "house"]
