"""Options that several commands have: one name, one help text, one variable each."""

from pathlib import Path
from typing import Annotated

import typer

Env = Annotated[
    str | None,
    typer.Option("--env", help="production, testnet or simulator.", envvar="LIQCTL_ENV"),
]
TrailEnv = Annotated[
    str | None, typer.Option("--env", help="Whose log_dir to read.", envvar="LIQCTL_ENV")
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file; else the environment's, where found.",
        envvar="LIQCTL_CONFIG",
    ),
]
Settle = Annotated[
    float | None,
    typer.Option(help="Watch flat for S seconds before it is called proven, 0 to 30.", metavar="S"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours.")]
