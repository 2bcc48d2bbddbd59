"""Reads an agent's configuration from a file."""

import json
from pathlib import Path
from typing import cast

import typer

from cli.api_client import Json
from stack.errors import StackError


def read_config(file: Path) -> Json:
    """Read a configuration, either bare or as `agents get` prints it.

    Raises:
        StackError: The file cannot be read or is not a JSON object.
    """
    stdin = str(file) == "-"
    name = "standard input" if stdin else str(file)
    try:
        text = typer.get_text_stream("stdin").read() if stdin else file.read_text("utf-8")
        found: object = json.loads(text)
    except OSError as problem:
        raise StackError(f"{name}: {problem.strerror}") from None
    except ValueError as problem:
        raise StackError(f"{name} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise StackError(f"{name} must contain a JSON object, the agent's configuration")
    config = cast("Json", found)
    inside = config.get("config")
    return cast("Json", inside) if isinstance(inside, dict) and "agentId" in config else config
