"""`liqctl liquidate` as Typer reads it; `liqctl.cli.quick` reads plain lines faster."""

from liqctl.cli import process
from liqctl.cli.liquidate import run
from liqctl.cli.options import LIQUIDATE, Options, takes


@takes(*LIQUIDATE)
def liquidate(options: Options) -> None:
    """Cancel every open order, close every open position, prove the account flat.

    Works on the whole account unless --symbol narrows it. Asks in production only.
    Exit codes: 0 flat, 1 failed, 2 usage, 3 partly, 4 configuration, 5 already running,
    6 not confirmed, 7 key refused, 8 flat but the audit trail is incomplete,
    130 or 143 interrupted.

    Example: liqctl liquidate --env testnet --reason "bot runs wild"
    """
    process.leave(run(options))
