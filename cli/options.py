"""Options that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OrgOption = Annotated[
    str | None,
    typer.Option("--org", help="Act for this org; default: the stack's own (admins only)."),
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", help="[PART:]NAME=VALUE in the environment of api, worker, agent."),
]
