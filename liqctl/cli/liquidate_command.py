"""The options of `liqctl liquidate` as Typer reads them; `cli.quick` reads plain ones faster."""

from typing import Annotated

import typer

from liqctl.cli import process
from liqctl.cli.flags import AsJson, Config, Env, NoColor, Settle
from liqctl.cli.liquidate import run
from liqctl.cli.options import make_options


def liquidate(  # noqa: PLR0913 - each option of the command is an argument
    *,
    env: Env = None,
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and show the plan; send nothing.")
    ] = False,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Only this symbol, e.g. BTCUSDT; repeatable.")
    ] = None,
    orders_only: Annotated[
        bool, typer.Option("--orders-only", help="Cancel orders, leave positions and their stops.")
    ] = False,
    positions_only: Annotated[
        bool, typer.Option("--positions-only", help="Close positions, leave orders.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(help="Hard deadline in seconds, 1 to 30; else the settings'.", metavar="S"),
    ] = None,
    max_retries: Annotated[
        int | None,
        typer.Option(help="Repeats of one refused order or cancel, 0 to 10; else the settings'."),
    ] = None,
    retry_delay: Annotated[
        float | None,
        typer.Option(
            help="Seconds before the first repeat, doubling, 0.1 to 5; else the settings'.",
            metavar="S",
        ),
    ] = None,
    settle: Settle = None,
    reason: Annotated[str, typer.Option(help="Why; stands in the audit trail.")] = "",
    correlation_id: Annotated[
        str, typer.Option(help="Name of this run: 1 to 64 letters, digits, _ or -; else made up.")
    ] = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell each event on stderr as it happens.")
    ] = False,
) -> None:
    """Cancel every open order, close every open position, prove the account flat.

    Works on the whole account unless --symbol narrows it. Asks in production only.
    Exit codes: 0 flat, 1 failed, 2 usage, 3 partly, 4 configuration, 5 already running,
    6 not confirmed, 7 key refused, 8 flat but the audit trail is incomplete,
    130 or 143 interrupted.

    Example: liqctl liquidate --env testnet --reason "bot runs wild"
    """
    process.leave(
        run(
            make_options(
                env=env,
                config=config,
                yes=yes,
                dry_run=dry_run,
                symbol=symbol,
                orders_only=orders_only,
                positions_only=positions_only,
                timeout=timeout,
                max_retries=max_retries,
                retry_delay=retry_delay,
                settle=settle,
                reason=reason,
                correlation_id=correlation_id,
                as_json=as_json,
                no_color=no_color,
                verbose=verbose,
            )
        )
    )
