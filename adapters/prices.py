"""The price table of this installation: the shipped one, which a file may override."""

from pathlib import Path

from pydantic import ValidationError

from domain.errors import InvalidInput
from domain.transcripts.pricing import PRICES_VARIABLE, PriceTable, built_in_prices


def load_prices(file: Path | None) -> PriceTable:
    """Read a file like `domain/transcripts/prices.json`; None for the shipped prices alone.

    Raises:
        InvalidInput: the file cannot be read, or is not a price table.
    """
    if file is None:
        return built_in_prices()
    try:
        own = PriceTable.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput(
            f"{file} cannot be read: {error.strerror}", field=PRICES_VARIABLE
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidInput(
            f"{file} is not a price table: {place}: {first['msg']}",
            field=PRICES_VARIABLE,
            cure="write it like domain/transcripts/prices.json",
        ) from None
    return built_in_prices().with_own(own)
