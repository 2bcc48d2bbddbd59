"""How commands print what the API returned."""

import json
from collections.abc import Iterable, Mapping

import typer
from rich.console import Console
from rich.table import Table

from cli.api_client import Json


def print_json(answer: Json) -> None:
    """Print a JSON object, indented."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_table(
    columns: tuple[str, ...], rows: Iterable[Mapping[str, object]], more: str = ""
) -> None:
    """Print aligned columns under a heading; a falsy cell becomes `-`.

    Args:
        columns: Keys of the rows, in the order to print.
        rows: What to print; a row's `note` follows its line.
        more: The command that prints the next page, if there is one.
    """
    table = Table(*columns, "", box=None, pad_edge=False, header_style="")
    for row in rows:
        cells = (str(row[name] or "-") for name in columns)
        table.add_row(*cells, str(row.get("note", "")))
    # Wide enough for every table: nothing may be cut or wrapped.
    console = Console(width=10_000, highlight=False, markup=False)
    console.print(table)
    if more:
        console.print(f"more: {more}")
