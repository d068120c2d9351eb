"""`liqctl status`: what is open, whether a liquidation runs, how the last one ended."""

import asyncio
from typing import TYPE_CHECKING, Any

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.settings import load
from liqctl.cli.status_reader import StatusReader, View, make_document
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from liqctl.settings.values import Settings


@takes(
    *("environment", "config_file", "watch", "every", "settle", "exit_code", "prometheus"),
    *("as_json", "no_color", "verbose"),
    as_json="Print one JSON document; with --watch one line a look.",
    verbose="Show prices too.",
)
def status(options: Options) -> None:
    """Show open positions and orders, a running liquidation, the last run and the counts.

    Reading the account needs a key, the rest does not. Exit codes: 0, 2 usage, 4 configuration,
    1 or 7 nothing could be read; with --exit-code 0 flat, 3 open, 1 or 7 not known.

    Example: liqctl status --env testnet --exit-code && echo flat
    """
    try:
        if options.watch and options.settle is not None:
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
    showing = _watch(options, settings) if options.watch else _once(options, settings)
    view, is_well = loop.run_until_complete(showing)
    if not is_well:
        process.leave(ExitCode.FAILED)
    # Nobody may take an account that could not be read for one that was looked at.
    is_blind = view.document["account"] is None
    process.leave(view.exit_code if options.exit_code or is_blind else ExitCode.DONE)


async def _once(options: Options, settings: "Settings") -> tuple[View, bool]:
    async with StatusReader(settings, options.settle) as reader:
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
            every_s=options.every,
            also=lambda document: write_figures(options, settings, document),
        )
        return await watch.run(), watch.is_well


def _print_refusal(options: Options, why: str) -> None:
    """Print the document of a look that was not taken, if JSON was asked for."""
    if options.as_json:
        from liqctl.trail.reading import make_history

        _print(
            options, make_document(options.environment or "", make_history(()), account_error=why)
        )


def _print(options: Options, document: dict[str, Any]) -> None:
    if options.as_json:
        from liqctl.kernel.as_json import dump

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
