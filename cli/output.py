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


def print_list(
    answer: Json,
    columns: tuple[str, ...],
    rows: Iterable[Mapping[str, object]],
    command: str,
    *,
    as_json: bool,
) -> None:
    """Print a list as JSON, or as a table with aligned columns; a falsy cell becomes `-`.

    A row's `note` follows its line. If there is a next page, the last line is the `command` with
    the cursor of that page.
    """
    if as_json:
        return print_json(answer)
    table = Table(*columns, "", box=None, pad_edge=False, header_style="")
    for row in rows:
        cells = (str(row[name] or "-") for name in columns)
        table.add_row(*cells, str(row.get("note", "")))
    # Wide enough for every table: nothing may be cut or wrapped.
    Console(width=10_000, highlight=False, markup=False).print(table)
    if cursor := answer.get("nextCursor") or answer.get("next"):
        typer.echo(f"more: everline {command} --cursor {cursor}")
