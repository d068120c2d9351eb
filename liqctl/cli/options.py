"""What `liqctl liquidate` was asked for, whoever read the command line."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SCOPE: Final = {
    "orders_only": {"liquidation.close_positions": False, "liquidation.cancel_orders": True},
    "positions_only": {"liquidation.close_positions": True, "liquidation.cancel_orders": False},
}
SCOPES: Final = frozenset(_SCOPE)
_NUMBERS: Final = {
    "liquidation.timeout_seconds": "--timeout",
    "liquidation.max_retries": "--max-retries",
    "liquidation.retry_delay_seconds": "--retry-delay",
    "liquidation.settle_seconds": "--settle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for; `flags` are settings by dotted key."""

    environment: str | None = None
    config_file: Path | None = None
    as_json: bool = False
    colour: bool = True
    verbose: bool = False
    yes: bool = False
    dry_run: bool = False
    reason: str = ""
    correlation_id: str = ""
    scopes: frozenset[str] = frozenset()
    flags: Mapping[str, object] = field(default_factory=dict)

    def repeated(self) -> str:
        """Return the options that another run of the same scope needs, ready to be pasted.

        >>> Options(flags={"liquidation.symbols": ["BTCUSDT"]}).repeated()
        '--symbol BTCUSDT'
        """
        words = ["--config", str(self.config_file)] if self.config_file else []
        symbols = self.flags.get("liquidation.symbols")
        for symbol in symbols if isinstance(symbols, list) else []:
            words += ["--symbol", symbol]
        words += [f"--{scope.replace('_', '-')}" for scope in sorted(self.scopes)]
        for key, flag in _NUMBERS.items():
            if key in self.flags:
                words += [flag, str(self.flags[key]).removesuffix(".0")]
        return shlex.join(words)


def make_options(  # noqa: PLR0913 - each option of the command is an argument
    *,
    env: str | None = None,
    config: Path | None = None,
    yes: bool = False,
    dry_run: bool = False,
    symbol: Sequence[str] | None = None,
    orders_only: bool = False,
    positions_only: bool = False,
    timeout: float | None = None,
    max_retries: int | None = None,
    retry_delay: float | None = None,
    settle: float | None = None,
    reason: str = "",
    correlation_id: str = "",
    as_json: bool = False,
    no_color: bool = False,
    verbose: bool = False,
) -> Options:
    """Return the options of a command line; the names are those of its long options."""
    flags: dict[str, object] = {
        "liquidation.timeout_seconds": timeout,
        "liquidation.max_retries": max_retries,
        "liquidation.retry_delay_seconds": retry_delay,
        "liquidation.settle_seconds": settle,
        "liquidation.symbols": list(symbol) if symbol else None,
    }
    chosen = {"orders_only": orders_only, "positions_only": positions_only}
    scopes = frozenset(name for name, wanted in chosen.items() if wanted)
    for name in scopes:
        flags |= _SCOPE[name]
    return Options(
        environment=env,
        config_file=config,
        as_json=as_json,
        colour=not no_color and not os.environ.get("NO_COLOR"),
        verbose=verbose,
        yes=yes,
        dry_run=dry_run,
        reason=reason,
        correlation_id=correlation_id,
        scopes=scopes,
        flags={name: value for name, value in flags.items() if value is not None},
    )
