"""How commands print what the API returned."""

import json
from collections.abc import Iterable, Mapping

import typer
from rich.console import Console

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
    console = Console(soft_wrap=True, highlight=False, markup=False)
    lines = [(columns, "")]
    for row in rows:
        cells = tuple(str(row[name] or "-") for name in columns)
        lines.append((cells, f"  {row['note']}" if row.get("note") else ""))
    widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in lines), strict=True)]
    for cells, note in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        console.print(text.rstrip() + note)
    if more:
        console.print(f"more: {more}")
