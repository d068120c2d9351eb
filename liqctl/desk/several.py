"""Several accounts on one screen: what is open in each, and how each run ended, worst first."""

from typing import TYPE_CHECKING

from liqctl.desk.result import Asked
from liqctl.desk.text import Part, clean, show
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqctl.run.inspection import Inspection


def render_confirmation(
    accounts: "Sequence[tuple[str, str | None, str | None, Inspection | None]]",
    *,
    environment: str,
    base_url: str,
    policy: LiquidationConfig,
    width: int | None,
    height: int,
    colour: bool,
    config_file: str | None = None,
) -> str:
    """Return where, on whose accounts, what is open worst first.

    Each account is its name, its key's fingerprint (None: no usable key), the name that it is a
    twin of (None: none), and what was read (None: nothing in time).
    """
    parts: list[Part] = [f"{clean(environment).upper()}  {clean(base_url)}"]
    parts += [f"{clean(name)}  key {key}" for name, key, *_ in accounts]
    return show(parts, width=width)


def render_results(
    results: Results,
    *,
    width: int | None,
    height: int | None,
    colour: bool,
    asked: Asked,
    is_drawn: bool = True,
) -> str:
    """Return how the run of each account ended, worst first."""
    parts: list[Part] = [
        f"{result.state.value}  {clean(result.account or '')}  {clean(result.error_message or '')}"
        for result in results.each
    ]
    return show(parts, width=width)
