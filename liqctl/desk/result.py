"""The end screen of a liquidation: what is open now, why, and what to do next.

Read in an emergency, so the first line alone must tell it all, and everything that may still be
open comes with the exact next step.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from textwrap import shorten
from typing import Final, assert_never

from liqctl.desk.text import (
    EXECUTIONS_UNREAD,
    WORDS_MAX,
    Part,
    Table,
    Tone,
    clean,
    count,
    fit,
    labelled,
    listed,
    money,
    named,
    paint,
    sized,
    tally,
)
from liqctl.kernel.amounts import plain
from liqctl.kernel.requests import Endpoint
from liqctl.kernel.result import ErrorReport, LiquidationResult, PositionReport, Residual
from liqctl.kernel.states import (
    ExitCode,
    FailureCause,
    LiquidationState,
    Margin,
    OrderState,
    PositionState,
    Product,
)
from liqctl.kernel.values import Position
from liqctl.kernel.words import LETS_NOTHING_THROUGH, explain_kept

# More positions than an account is expected to hold; the rest is summed up, and --json lists all.
ROWS_MAX: Final = 250
_NAMED_MAX: Final = 10
_ORDERS_NAMED_MAX: Final = 5
_ORDER_ROWS: Final = 2
_WHY_MAX: Final = 200
_PROSE_MAX: Final = 30
"""What a screen that must be short shows of orders, of a reason, and beside a row, at most."""

TONES: Final = {
    LiquidationState.COMPLETED: Tone.GOOD,
    LiquidationState.SKIPPED: Tone.DOUBT,
    LiquidationState.PARTIAL: Tone.DOUBT,
}
_SETTLED: Final = {OrderState.CANCELLED, OrderState.GONE, OrderState.SKIPPED}
_NOT_CLOSED: Final = {PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN}
_POSITION_SOURCES: Final = ("positionRisk", "account")
"""The two lists that show positions, as `unread` names them."""

_NOTHING_SENT: Final = {
    FailureCause.BLOCKED: "another run is at work on this account; nothing was sent",
    FailureCause.USAGE: "unknown symbol; nothing was sent",
}
_TABS: Final = {Product.USDM: "USDⓈ-M", Product.COINM: "COIN-M"}
_ENDS_OPEN: Final = {
    *(ExitCode.FAILED, ExitCode.PARTIAL, ExitCode.CREDENTIALS, ExitCode.CONFIGURATION),
}
"""Ends after which what is left may have to be closed by hand."""

_WEBSITES: Final = {"production": "www.binance.com", "testnet": "demo.binance.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the operator asked for, as far as the screen repeats it.

    Attributes:
        symbols: the symbols in scope; empty for the whole account.
        options: the options that belong to the same run once more, such as `--symbol BTCUSDT`.
        settle_s: how long flat was to be watched; None where that is not known.
        config_file: the settings file in force; None for the defaults of the program.
        look: the options that name the accounts to the commands that only look.
        scopes: the symbols in scope of each account of several, where it is not every one; None
            where that is not known.
    """

    symbols: tuple[str, ...] = ()
    options: str = ""
    settle_s: float | None = None
    config_file: str | None = None
    look: str = ""
    scopes: Mapping[str, tuple[str, ...]] | None = None

    @property
    def settings(self) -> tuple[str, str | None]:
        """The row of the settings file."""
        return "settings", clean(self.config_file) if self.config_file else None


def render_result(
    result: LiquidationResult,
    *,
    width: int | None,
    colour: bool,
    asked: Asked = Asked(),
    forecast: Sequence[Part] = (),
    height: int | None = None,
    is_drawn: bool = True,
) -> str:
    """Return the end screen; a width of None leaves every message on one line.

    `forecast` are the parts of a dry run's plan. A screen that is higher than `height` is made
    short, for its first line tells most: tables show what is not closed first and sum up the rest.
    """
    word = "DRY RUN" if result.dry_run and not result.error_message else result.state.value
    painted = paint(word, TONES.get(result.state, Tone.BAD), colour=colour)
    head: list[Part] = [(f"{painted}: ", meaning(result, asked))]
    if result.cause not in _NOTHING_SENT:
        head += ["", *labelled(*_counts(result))]
    steps = steps_of(next_steps(result, asked), colour=colour)
    why = reasons(result)
    incomplete = "INCOMPLETE: not every event could be recorded"
    spent = ", ".join(f"{name} {s:.2f} s" for name, s in result.time_spent_s.items() if s > 0)
    record = (
        ("run", f"{result.correlation_id} on {clean(result.environment)}"),
        ("head", result.audit_head),
        ("audit", None if result.audit_complete else incomplete),
    )
    tables = _spaced(_positions(result, ROWS_MAX)) + _spaced(_orders(result, ROWS_MAX))
    whole = [*head, *tables, *_spaced(forecast), ""]
    time = ("time", time_of([result], f" ({spent})" if spent else ""))
    whole += [*labelled(*why, asked.settings, time, *record), *_spaced(steps)]

    def make(rows: int) -> list[Part]:
        orders = _orders(result, _ORDER_ROWS, _PROSE_MAX) if rows > 2 * _ORDER_ROWS else []
        positions = _positions(result, rows - _ORDER_ROWS * bool(orders), _PROSE_MAX)
        told = [(label, brief(text)) for label, text in why]
        below = [*forecast, *labelled(*told, *record), *steps]
        return [*head, *(positions if rows else ()), *orders, *below]

    return "\n".join(fit(whole, make, width=width, height=height, is_drawn=is_drawn)) + "\n"


def _spaced(parts: Sequence[Part]) -> list[Part]:
    return ["", *parts] if parts else []


def steps_of(steps: Sequence[str], *, colour: bool) -> list[Part]:
    """Return the end of a screen: what to do next, nothing where there is nothing to do."""
    head = paint("Next", Tone.STRONG, colour=colour)
    return [head, *(("  - ", step) for step in steps)] if steps else []


def brief(reason: str) -> str:
    """Return a reason for a screen that must be short."""
    return shorten(reason, _WHY_MAX, placeholder=" …")


def next_steps(result: LiquidationResult, asked: Asked = Asked()) -> list[str]:
    """Return what to do now, the most useful first; empty when nothing is left to do."""
    return [*commands(result, asked), *by_hand([result])]


def commands(result: LiquidationResult, asked: Asked = Asked()) -> list[str]:
    """Return what to run now, the most useful first."""
    environment = shlex.quote(result.environment or "ENVIRONMENT")
    run = f"liqctl liquidate --env {environment}"
    again = f"{run} {asked.options}".rstrip()
    status = f"liqctl status --env {environment} {asked.look}".rstrip()
    match result.exit_code():
        case ExitCode.DONE:
            return [f"to do it: {again}"] if result.dry_run and not result.verified_flat else []
        case ExitCode.IN_PROGRESS:
            return [f"see how the other run does: {status}"]
        case ExitCode.AUDIT_INCOMPLETE:
            return ["keep this screen: the trail lacks events", "liqctl audit verify"]
        case ExitCode.CREDENTIALS | ExitCode.CONFIGURATION:
            return [f"liqctl validate --env {environment} --online {asked.look}".rstrip()]
        case ExitCode.USAGE:
            return [
                "symbols are written as Binance writes them, each with its own --symbol: BTCUSDT",
                f"which symbols are open: {status}",
            ]
        case ExitCode.NOT_CONFIRMED:
            return [f"look first: {status}", f"then: {again}"]
        case _:
            when = "again, at once"
            if LETS_NOTHING_THROUGH in (result.error_message or ""):  # A second run sends nothing.
                when = "from another address now, from here when the venue lets requests through "
                when += "again"
            # Orders left alone kept a position from closing: the run that may do more.
            unlimited = "with orders too, which may be what keeps positions from closing"
            is_limited = not result.dry_run and bool(result.count_orders(OrderState.SKIPPED))
            return [
                *([f"{unlimited}: {run} {asked.look}".rstrip()] * is_limited),
                f"{when}: {again}",
                f"look: {status}",
            ]


def meaning(result: LiquidationResult, asked: Asked = Asked()) -> str:
    """Return in a few words what the end means for the account."""
    if result.dry_run:
        if result.error_message:
            return "nothing was sent; the account could not be read in full"
        flat = "; nothing is open" if result.verified_flat else "; this is open"
        return f"nothing was sent{flat}"
    match result.state:
        case LiquidationState.COMPLETED:  # `flat` is said of an account only.
            stay = left_alone(result)
            if result.count_positions(PositionState.SKIPPED):
                no_order = proof(result, asked, "no order")
                return f"orders cancelled, as asked, {no_order}; {stay} STAY OPEN"
            if result.count_orders(OrderState.SKIPPED):
                no_position = proof(result, asked, "no position")
                return f"positions closed, as asked, {no_position}; {stay} STAY"
            where = rest = ""
            if asked.symbols:
                where = f" on {', '.join(clean(symbol) for symbol in asked.symbols)}"
                rest = "; other symbols were left alone"
            elif len(result.products) == 1:
                (other,) = {*Product} - {*result.products}
                where = f" in {result.products[0].shown}"
                rest = f"; {other.shown} was left alone"
            return f"flat{where}, {proof(result, asked, 'nothing')}{rest}"
        case LiquidationState.SKIPPED:
            return "emergency_liquidation is false; nothing was sent"
        case LiquidationState.PARTIAL:
            if not (result.positions_failed or result.orders_failed or result.unread):
                return "the venue confirmed every close and cancel, but no reading proves flat"
            return "some of it is closed, the rest is or may be open"
        case LiquidationState.FAILED:
            unknown = "what is open is not known" if result.residual is None else ""
            untold = unknown or "nothing is proven closed or cancelled"
            return untold if result.cause is None else _NOTHING_SENT.get(result.cause, untold)
        case LiquidationState.IDLE | LiquidationState.IN_PROGRESS:
            return "not finished"
        case _:
            assert_never(result.state)


def proof(result: LiquidationResult, asked: Asked, unseen: str) -> str:
    """Return how long `unseen` was watched and in how many sources; shorter than asked is said."""
    # Down to a tenth: 1.98 s are not shown as the 2 s that were asked for.
    watched_s = math.floor(result.settled_seconds * 10) / 10
    short = ""
    if asked.settle_s is not None and watched_s < math.floor(asked.settle_s * 10) / 10:
        short = f" (the deadline left less than the {asked.settle_s:g} s asked for)"
    if not watched_s:
        return f"proven by a single reading after the last order{short}"
    silent = [
        each for each in result.unread if each.split("/")[-1].split()[-1] in _POSITION_SOURCES
    ]
    sources = "both sources" if not silent else f"one source, {' and '.join(silent)} never answered"
    return f"proven: {unseen} was listed for {watched_s:.1f} s{short} in {sources}"


def left_alone(*results: LiquidationResult) -> str:
    """Return what --orders-only or --positions-only left alone; empty without them."""
    skipped = PositionState.SKIPPED
    positions = [p for result in results for p in result.positions if p.state is skipped]
    orders = sum(result.count_orders(OrderState.SKIPPED) for result in results)
    return _exposure(positions) if positions else count(orders, "order") if orders else ""


def _counts(result: LiquidationResult) -> list[tuple[str, str | None]]:
    if result.residual is None and not result.positions and not result.orders:
        return [("left", _left(result))]
    positions, orders = (
        f"{noun}s not read" if found is None else count(found, noun)
        for found, noun in ((result.positions_found, "position"), (result.orders_found, "order"))
    )
    held = positions if result.positions_found is None else _exposure(result.positions)
    # Of one product no reading showed them, of the other some were seen.
    is_part = "positions" in result.never_read and bool(result.positions)
    least = "at least " if is_part else ""
    closed = "" if result.positions_closed is None else f"{result.positions_closed} of "
    cancelled = f"{result.orders_cancelled} of {orders} cancelled"
    done = f"{closed}{positions}, {orders if result.orders_cancelled is None else cancelled}"
    return [
        ("found", f"{least}{held}, {orders}"),
        ("closed", None if result.dry_run else done),
        ("left", _left(result)),
    ]


def _left(result: LiquidationResult) -> str:
    if result.residual is None:
        return "not known: no reading succeeded"
    left, still_listed = split_residual(result)
    is_left = left.positions or left.orders
    if still_listed.positions or still_listed.orders:
        still = (
            f"{sum_up(still_listed)} still listed although the venue confirmed the close or "
            "cancel; lists lag by up to about 2 s"
        )
        return f"{sum_up(left)}; and {still}" if is_left else f"not proven: {still}"
    if is_left:
        return sum_up(left) + ("; not all could be read" if result.never_read else "")
    stay = "" if result.dry_run else left_alone(result)
    if stay and result.verified_flat:
        return f"{stay}, as asked"
    return "nothing" if result.verified_flat else "nothing was seen, but not all could be read"


def split_residual(result: LiquidationResult) -> tuple[Residual, Residual]:
    """Return what is left open, and what is only still listed.

    The second is what the last reading showed although the venue confirmed that it is closed or
    cancelled: what was counted as closed is never counted as left as well.
    """
    residual = result.residual or Residual()
    done, gone = PositionState.CLOSED, OrderState.CANCELLED
    closed = {(p.symbol, p.position_side) for p in result.positions if p.state is done}
    cancelled = {(o.symbol, o.kind, o.order_id) for o in result.orders if o.state is gone}
    still_listed = Residual(
        positions=tuple(p for p in residual.positions if (p.symbol, p.position_side) in closed),
        orders=tuple(o for o in residual.orders if (o.symbol, o.kind, o.order_id) in cancelled),
    )
    left = Residual(
        positions=tuple(p for p in residual.positions if p not in still_listed.positions),
        orders=tuple(o for o in residual.orders if o not in still_listed.orders),
    )
    return left, still_listed


def sum_up(*residuals: Residual) -> str:
    """Return how much is open."""
    positions = [position for residual in residuals for position in residual.positions]
    orders = sum(len(residual.orders) for residual in residuals)
    return f"{_exposure(positions)}, {count(orders, 'order')}"


def _exposure(positions: Sequence[PositionReport | Position]) -> str:
    exposure = sum((abs(position.notional) for position in positions), Decimal(0))
    return f"{count(len(positions), 'position')} of {money(exposure)} notional"


def _positions(result: LiquidationResult, rows_max: int, prose_max: int = WORDS_MAX) -> list[Part]:
    """Return the positions as a table, those not closed first."""
    positions = sorted(result.positions, key=lambda p: p.state is PositionState.CLOSED)
    rows = []
    for position in positions[:rows_max]:
        now = position.state.value
        if result.dry_run:
            now = "open"
        elif position.state is PositionState.SKIPPED:
            now = "OPEN, left alone as asked"
        else:
            if position.state is PositionState.CLOSED and position.average_price is not None:
                now += f" at {plain(position.average_price)}"
            if position.state in _NOT_CLOSED:
                left = "an unknown quantity"
                if position.remaining is not None:
                    left = sized(plain(position.remaining), position.product)
                now += f", {left} left after {count(position.attempts, 'attempt')}"
            now += _because(position.error)
        quantity = sized(plain(position.quantity), position.product)
        symbol, notional = named(position.symbol, position.product), money(position.notional)
        rows.append((symbol, position.side.value, quantity, notional, now))
    head = ("symbol", "side", "quantity", "notional", "now" if result.dry_run else "result")
    states = [position.state.value for position in positions]
    return _table(head, rows, states, "position", prose_max)


def _orders(result: LiquidationResult, rows_max: int, prose_max: int = WORDS_MAX) -> list[Part]:
    """Return the orders that are not settled as a table; of a dry run all of them."""
    orders = [order for order in result.orders if result.dry_run or order.state not in _SETTLED]
    rows = []
    for order in orders[:rows_max]:
        now = "open" if result.dry_run else order.state.value
        if order.protective:
            price = order.trigger_price
            now += ", protective stop" + ("" if price is None else f" at {plain(price)}")
        side = order.side.value if order.side else "?"
        symbol = named(order.symbol, order.product)
        cells = (symbol, side, clean(order.type), clean(order.order_id))
        rows.append((*cells, now + _because(order.error)))
    head = ("symbol", "side", "order", "id", "now" if result.dry_run else "result")
    states = [order.state.value for order in orders]
    return _table(head, rows, states, "order", prose_max)


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    states: Sequence[str],
    noun: str,
    prose_max: int,
) -> list[Part]:
    """Return a table, and a line for what has no row: how many, and how they ended."""
    if not states:
        return []
    right = {head.index(name) for name in ("quantity", "notional") if name in head}
    rows = [(*row, shorten(prose, prose_max, placeholder=" …")) for *row, prose in rows]
    parts: list[Part] = [Table(head=head, rows=rows, right=right)]
    rest = states[len(rows) :]
    if rest:
        parts.append(f"and {count(len(rest), f'more {noun}')}, {tally(rest)}; --json lists all")
    return parts


def _because(error: ErrorReport | None) -> str:
    if error is None:
        return ""
    code = "" if error.code is None else f" ({error.code})"
    return f": {clean(error.message)}{code}"


def reasons(result: LiquidationResult) -> list[tuple[str, str]]:
    """Return why a run ended as it did, and what else was noticed: labels and sentences."""
    message = result.error_message or ""
    rows = [("why", clean(part)) for part in message.splitlines()]
    if result.deadline_exceeded and "deadline" not in message:
        rows.append(("why", f"the time limit of {result.timeout_seconds:g} s ended the run"))
    told_in_table = {*explain_kept(result.orders), result.error_message}
    rows += [("note", clean(note)) for note in result.notes if note not in told_in_table]
    sources = [clean(each) for each in result.unread if each != Endpoint.EXECUTIONS.value.source]
    if sources:
        rows.append(("unread", f"{', '.join(sources)}: no answer in the whole run"))
    if len(sources) < len(result.unread):
        rows.append(("unread", EXECUTIONS_UNREAD))
    if result.margin is Margin.PORTFOLIO:
        rows.append(("margin", "PORTFOLIO"))
    if (left := result.left_over) is not None:
        orders = left.margin_orders or ()
        told = []
        if orders:
            told = [f"{count(len(orders), 'margin order')}: {listed(orders, _NAMED_MAX)}"]
        for word, coins in (
            ("borrowed", left.borrowed),
            ("negative balance", left.negative_balances),
            ("locked", left.locked),
        ):
            amounts = [f"{plain(amount)} {coin}" for coin, amount in (coins or {}).items()]
            told += [f"{word} {listed(amounts, _NAMED_MAX)}"] if amounts else []
        if told:
            rows.append(("WARNING", f"not futures, and left as they are: {clean('; '.join(told))}"))
    return rows


def time_of(results: Sequence[LiquidationResult], spent: str = "") -> str:
    """Return what runs side by side took: time of their limit, and requests of all of them."""
    took_s, repeated = max(r.duration_seconds for r in results), sum(r.retries for r in results)
    requests = count(sum(result.requests for result in results), "request")
    again = f", {repeated} repeated" if repeated else ""
    return f"{took_s:.2f} s of {results[0].timeout_seconds:g} s{spent}, {requests}{again}"


def by_hand(results: Sequence[LiquidationResult]) -> list[str]:
    """Return where to click, with the rows to look for, of each account where there are several.

    Nothing where no run left anything that is to be closed. The simulator has no website.
    """
    website = _WEBSITES.get(results[0].environment) if results else None
    ended_open = [result for result in results if result.exit_code() in _ENDS_OPEN]
    if website is None or not ended_open:
        return []
    products: set[Product] = set()
    rows = []
    for result in ended_open:
        left, of = result.residual or Residual(), ""
        if len(results) > 1:
            of = f" on {clean(result.account or '')}"
        # Where nothing is seen open, every product in scope is to be looked at.
        seen = {p.product for p in left.positions} | {o.product for o in left.orders}
        products |= seen or {*result.products}
        positions = [
            f"{clean(p.symbol)} {p.position_side} {sized(plain(p.quantity), p.product)}"
            for p in left.positions
        ]
        orders = [f"{clean(o.symbol)} {clean(o.type)} {clean(o.order_id)}" for o in left.orders]
        for noun, names, most in (
            ("positions", positions, _NAMED_MAX),
            ("orders", orders, _ORDERS_NAMED_MAX),
        ):
            rows += [f"{noun} to look for{of}: {listed(names, most)}"] if names else []
    tabs = [_TABS[product] for product in Product if product in products] or [_TABS[Product.USDM]]
    clicks = (
        f"by hand: {website} > Futures > {' and '.join(tabs)} > Positions > Close All Positions, "
        "then Open Orders > Cancel All, Conditional too"
    )
    return [clicks, *rows]
