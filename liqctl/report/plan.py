"""What a liquidation would send: shown before production is confirmed, and by a dry run."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from liqctl.domain.account import Position, Snapshot
from liqctl.domain.amounts import plain
from liqctl.planning.plan import Plan
from liqctl.report.text import Tone, clean, count, labelled, money, paint, table

ROWS_MAX: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose account a plan is for: what an operator must check before typing a word."""

    environment: str
    base_url: str
    key_fingerprint: str
    timeout_seconds: float


def render_plan(
    plan: Plan, snapshot: Snapshot, target: Target, *, width: int | None, colour: bool
) -> str:
    """Return what is open, worst first, what would be sent, where, and in which time."""
    tone = Tone.BAD if target.environment == "production" else Tone.STRONG
    lines = [
        paint(clean(target.environment).upper(), tone, colour=colour)
        + f"  {clean(target.base_url)}  key {target.key_fingerprint}",
        "",
    ]
    closes = [close.position for symbol in plan.symbols for close in symbol.closes]
    if closes:
        lines += [_positions(closes, width), ""]
    lines += labelled("open", _open(snapshot), width=width)
    lines += labelled("cancel", _cancels(plan), width=width)
    lines += labelled("close", _closes(plan), width=width)
    if plan.kept:
        kept = f"{count(len(plan.kept), 'protective stop')} until the position is flat"
        lines += labelled("keep", kept, width=width)
    lines += labelled("time", f"ends after {target.timeout_seconds:g} s at most", width=width)
    unread = [clean(error.describe()) for error in snapshot.errors]
    lines += [line for text in unread for line in labelled("unread", text, width=width)]
    return "\n".join(lines) + "\n"


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
