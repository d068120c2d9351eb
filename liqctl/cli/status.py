"""`liqctl status`: what is open, whether a liquidation runs, how the last one ended."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from liqctl.cli import process
from liqctl.cli.flags import Config, Env, NoColor, Settle
from liqctl.cli.settings import load
from liqctl.cli.status_reader import StatusReader, View, make_document
from liqctl.domain.errors import ConfigurationError, UsageError
from liqctl.domain.states import ExitCode

if TYPE_CHECKING:
    from liqctl.config.settings import Settings

_WATCH_EVERY_S: Final = 5.0
"""Twelve readings of 90 weight a minute: under half of the venue's 2400."""

_EVERY_MIN_S: Final = 1.0
_EVERY_MAX_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    environment: str | None
    config_file: Path | None
    as_json: bool
    colour: bool
    watch: bool
    every_s: float
    exit_code: bool
    verbose: bool
    settle_s: float | None = None
    prometheus: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)


def status(  # noqa: PLR0913 - one argument an option
    *,
    env: Env = None,
    config: Config = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Look again and again; less often while others use the limits up."
        ),
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            help="Seconds between two looks of --watch, where the limits allow it.",
            min=_EVERY_MIN_S,
            max=_EVERY_MAX_S,
            metavar="S",
        ),
    ] = _WATCH_EVERY_S,
    settle: Settle = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 when anything is open, 0 when flat.")
    ] = False,
    prometheus: Annotated[
        Path | None, typer.Option(help="Also write figures for Prometheus to this file.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document; with --watch one line a look."),
    ] = False,
    no_color: NoColor = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show prices too.")] = False,
) -> None:
    """Show open positions and orders, a running liquidation, the last run and the counts.

    What only the audit trail can tell needs no key. Exit codes: 0, 2 usage, 4 configuration,
    1 or 7 nothing could be read; with --exit-code 0 flat, 3 open, 1 or 7 not known.

    Example: liqctl status --env testnet --exit-code && echo flat
    """
    options = Options(
        environment=env,
        config_file=config,
        as_json=as_json,
        colour=not no_color and not os.environ.get("NO_COLOR"),
        watch=watch,
        every_s=every,
        exit_code=exit_code,
        verbose=verbose,
        settle_s=settle,
        prometheus=prometheus,
        flags={} if settle is None else {"liquidation.settle_seconds": settle},
    )
    try:
        if watch and settle is not None:
            raise UsageError("--settle and --watch do not go together: a watch has no end")  # noqa: TRY301
        settings = load(options)
    except UsageError as error:
        process.print_error(f"liqctl: {error}")
        _print_refusal(options, str(error))
        process.leave(ExitCode.USAGE)
    except ConfigurationError as error:
        process.print_error(f"the configuration is invalid\n{error}")
        _print_refusal(options, str(error))
        process.leave(ExitCode.CONFIGURATION)
    # No asyncio.run: it would wait for a thread that hangs in a name look-up.
    loop = asyncio.new_event_loop()
    showing = _watch(options, settings) if watch else _once(options, settings)
    view, is_well = loop.run_until_complete(showing)
    if not is_well:
        process.leave(ExitCode.FAILED)
    # Nobody may take an account that could not be read for one that was looked at.
    is_blind = view.document["account"] is None
    process.leave(view.exit_code if options.exit_code or is_blind else ExitCode.DONE)


async def _once(options: Options, settings: "Settings") -> tuple[View, bool]:
    async with StatusReader(settings, options.settle_s) as reader:
        view = await reader.look()
    _print(options, view.document)
    return view, write_figures(options, settings, view.document)


def write_figures(options: Options, settings: "Settings", document: dict[str, Any]) -> bool:
    """Write the file for Prometheus, if one was asked for; return whether all is well."""
    if options.prometheus is None:
        return True
    from liqctl.cli import figures

    try:
        figures.write_figures(options.prometheus, document, log_dir=settings.audit.log_dir)
    except OSError as error:
        process.print_error(f"{options.prometheus} cannot be written: {error.strerror}")
        return False
    return True


async def _watch(options: Options, settings: "Settings") -> tuple[View, bool]:
    from liqctl.cli.watching import Watch

    async with StatusReader(settings) as reader:
        watch = Watch(
            options,
            reader,
            every_s=options.every_s,
            also=lambda document: write_figures(options, settings, document),
        )
        return await watch.run(), watch.is_well


def _print_refusal(options: Options, why: str) -> None:
    """Print the document of a look that was not taken, if JSON was asked for."""
    if options.as_json:
        from liqctl.trail.runs import no_history

        _print(options, make_document(options.environment or "", no_history(), account_error=why))


def _print(options: Options, document: dict[str, Any]) -> None:
    if options.as_json:
        from liqctl.desk.json import dump

        process.print_answer(dump(document))
        return
    from liqctl.desk.status import render_status

    process.print_answer(
        render_status(
            document,
            width=process.width_of(1),
            colour=options.colour and process.is_terminal(1),
            verbose=options.verbose,
        )
    )
