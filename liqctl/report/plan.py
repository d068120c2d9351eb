"""What a liquidation would send: shown before production is confirmed, and by a dry run."""

from decimal import Decimal
from typing import Final, Protocol

from liqctl.domain.account import Position, Snapshot
from liqctl.domain.amounts import plain
from liqctl.domain.result import LiquidationResult
from liqctl.planning.plan import Plan
from liqctl.planning.policy import LiquidationConfig
from liqctl.report.result import Asked, render_result
from liqctl.report.text import Tone, clean, count, labelled, money, paint, table

ROWS_MAX: Final = 250


class Inspected(Protocol):
    """One reading of the account and what a liquidation would send first."""

    @property
    def snapshot(self) -> Snapshot:
        """What was read."""

    @property
    def plan(self) -> Plan:
        """What would be sent."""

    def why_unreadable(self) -> str | None:
        """Return why not everything could be read."""


def render_confirmation(
    inspected: Inspected,
    *,
    environment: str,
    base_url: str,
    key_fingerprint: str,
    policy: LiquidationConfig,
    width: int | None,
    colour: bool,
) -> str:
    """Return where, on whose account, what is open worst first, and what would be sent."""
    banner = paint(clean(environment).upper(), Tone.BAD, colour=colour)
    lines = [f"{banner}  {clean(base_url)}  key {key_fingerprint}", ""]
    closes = [close.position for symbol in inspected.plan.symbols for close in symbol.closes]
    if closes:
        lines += [_positions(closes, width), ""]
    lines += labelled("open", _open(inspected.snapshot), width=width)
    return "\n".join(lines + _forecast(inspected, policy, width)) + "\n"


def render_plan(
    inspected: Inspected,
    result: LiquidationResult,
    *,
    policy: LiquidationConfig,
    width: int | None,
    colour: bool,
    asked: Asked = Asked(),  # noqa: B008 - a frozen value
) -> str:
    """Return the end screen of a dry run, with what a real run would send."""
    head = paint("Plan", Tone.STRONG, colour=colour)
    forecast = [head, *_forecast(inspected, policy, width)]
    return render_result(result, width=width, colour=colour, asked=asked, forecast=forecast)


def _forecast(inspected: Inspected, policy: LiquidationConfig, width: int | None) -> list[str]:
    plan = inspected.plan
    scope = ", ".join(clean(symbol) for symbol in policy.symbols) or "the whole account"
    lines = labelled("scope", scope, width=width)
    lines += labelled("cancel", _cancels(plan), width=width)
    lines += labelled("close", _closes(plan), width=width)
    if plan.kept:
        kept = f"{count(len(plan.kept), 'protective stop')}, until the position is flat"
        lines += labelled("keep", kept, width=width)
    lines += labelled("time", f"{policy.timeout_seconds:g} s at most", width=width)
    unread = inspected.why_unreadable()
    return lines + (labelled("unread", clean(unread), width=width) if unread else [])


def _positions(positions: list[Position], width: int | None) -> str:
    ranked = sorted(positions, key=lambda position: (-position.notional, position.leg))
    rows = [
        (
            clean(position.symbol),
            position.direction.value,
            plain(position.size),
            money(position.notional),
            "?" if position.unrealized_pnl is None else f"{position.unrealized_pnl:+,.2f}",
        )
        for position in ranked[:ROWS_MAX]
    ]
    head = ("symbol", "side", "quantity", "notional", "PnL")
    shown = table(head, rows, right={2, 3, 4}, width=width)
    hidden = len(ranked) - ROWS_MAX
    return shown + (f"\nand {count(hidden, 'position')} more" if hidden > 0 else "")


def _open(snapshot: Snapshot) -> str:
    positions = snapshot.positions.items
    exposure = sum((position.notional for position in positions), Decimal(0))
    pnl = sum((position.unrealized_pnl or Decimal(0) for position in positions), Decimal(0))
    return (
        f"{count(len(positions), 'position')} of {money(exposure)} notional, PnL {pnl:+,.2f}, "
        f"{count(len(snapshot.orders), 'order')}"
    )


def _cancels(plan: Plan) -> str:
    regular = sum(len(symbol.regular) for symbol in plan.symbols)
    conditional = sum(len(symbol.cancel_algo) + len(symbol.swept) for symbol in plan.symbols)
    if not regular and not conditional:
        return "nothing"
    return f"{count(regular, 'order')}, {count(conditional, 'conditional order')}"


def _closes(plan: Plan) -> str:
    parts = sum(len(close.parts) for symbol in plan.symbols for close in symbol.closes)
    return f"{count(parts, 'order')} at market, reducing only" if parts else "nothing"
