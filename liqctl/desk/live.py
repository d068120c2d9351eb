"""The live view: events of one run in, the lines of a frame out, drawn by rich.

A leg's way, each step by the event that shows it:

    open ─▶ cancelling ─▶ closing ─▶ filled ─▶ flat
                             ├─▶ refused ─▶ closing (again), or failed
                             └─▶ unknown ─▶ whatever the look-up or the next reading shows

The view is told nothing the audit trail is not. What it counts as open between two readings is the
last reading less what answers say was executed; only the end screen tells what is proven.

rich costs some 70 ms to import. Only the thread that draws imports this module, and only once a
run takes long enough to be watched.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

from rich.progress_bar import ProgressBar  # noqa: TID253 - see above
from rich.table import Table  # noqa: TID253
from rich.text import Text  # noqa: TID253

from liqctl.desk.screen import draw as draw_screen
from liqctl.desk.screen import make_console
from liqctl.desk.text import clean, labelled, money, named, sized
from liqctl.kernel.amounts import parse_decimal, plain
from liqctl.kernel.events import RUN_ENDS, AuditEventType
from liqctl.kernel.policy import product_of

ANSWER_LATE_S: Final = 0.5
"""From when on it is said how long an answer is waited for."""

_WIDE: Final = 100
"""From so many columns on the quantity is shown as well."""

# Columns: a label as on the other screens, a value that holds two amounts of eight digits, a bar.
_LABEL: Final = 10
_VALUE: Final = 36
_BAR: Final = 20
# Lines of one reason: the rows need the room more.
_TOLD_MAX: Final = 3
_OTHER_LINES: Final = 3
"""The second line of the grid, the empty line, and the head of the rows."""

_ZERO: Final = Decimal(0)


class Stage(IntEnum):
    """Where a row stands; the smaller, the more it needs somebody to look at it."""

    FAILED = 1
    UNKNOWN = 2
    REFUSED = 3
    CLOSING = 4
    CANCELLING = 5
    OPEN = 6
    LEFT_ALONE = 7
    FILLED = 8
    CANCELLED = 9
    FLAT = 10

    @property
    def word(self) -> str:
        """Return the stage as it is shown."""
        return self.name.lower().replace("_", " ")


_STYLES: Final = {
    Stage.FAILED: "bold red",
    Stage.UNKNOWN: "bold magenta",
    Stage.REFUSED: "magenta",
    Stage.CLOSING: "bold",
    Stage.CANCELLING: "bold",
    Stage.LEFT_ALONE: "dim",
    Stage.FILLED: "green",
    Stage.CANCELLED: "dim",
    Stage.FLAT: "dim green",
}
_CANCELS: Final = {
    AuditEventType.ORDER_CANCEL_SENT,
    AuditEventType.ORDER_CANCELLED,
    AuditEventType.ORDER_CANCEL_REJECTED,
}
_REFUSALS: Final[Mapping[str, Stage]] = {
    AuditEventType.ORDER_REJECTED: Stage.REFUSED,
    AuditEventType.ORDER_UNKNOWN: Stage.UNKNOWN,
    AuditEventType.POSITION_FAILED: Stage.FAILED,
}


@dataclass(slots=True, kw_only=True)
class LiveRow:
    """One leg, or the orders of a symbol without a position (then `position_side` is empty).

    `is_estimated`: no reading named the leg, its notional is the average of those not named.
    """

    symbol: str
    position_side: str
    product: str = ""
    quantity: Decimal = _ZERO
    notional: Decimal = _ZERO
    stages: list[Stage] = field(default_factory=list)
    tries: int = 0
    reason: str = ""
    since: float = 0.0
    again_at: float = 0.0
    is_estimated: bool = False
    executed: dict[str, Decimal] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        """Where it stands now."""
        return self.stages[-1] if self.stages else Stage.OPEN

    @property
    def side(self) -> str:
        """Return LONG or SHORT; empty for orders alone."""
        if self.position_side != "BOTH":
            return self.position_side
        return "SHORT" if self.quantity < 0 else "LONG"

    @property
    def still_open(self) -> Decimal:
        """Return the notional that no answer and no reading shows closed."""
        if self.stage is Stage.FLAT or not self.quantity:
            return _ZERO
        left = max(abs(self.quantity) - sum(self.executed.values(), _ZERO), _ZERO)
        return self.notional * left / abs(self.quantity)

    def move(self, stage: Stage, at: float) -> None:
        """Take the next step of the way; a step taken again is shown once."""
        self.since = at
        if stage in self.stages:
            del self.stages[self.stages.index(stage) :]
        if self.stages == [Stage.OPEN]:
            self.stages.clear()
        self.stages.append(stage)

    def way(self, now: float) -> str:
        """Return the steps so far, what is waited for, and why."""
        words = [stage.word for stage in self.stages] or [Stage.OPEN.word]
        if self.stage is Stage.REFUSED and self.again_at:
            words[-1] = f"attempt {self.tries + 1} in {max(self.again_at - now, 0.0):.1f} s"
        elif self.tries > 1 and self.stage is not Stage.FLAT:
            words[-1] += f", attempt {self.tries}"
        told = " → ".join(words)
        if self.stage in {Stage.CLOSING, Stage.CANCELLING} and now - self.since > ANSWER_LATE_S:
            told += f", no answer for {now - self.since:.1f} s"
        is_over = self.stage in {Stage.CANCELLED, Stage.FLAT}
        return f"{told}: {self.reason}" if self.reason and not is_over else told


@dataclass(slots=True, kw_only=True)
class LiveModel:
    """Takes in the events of one run, in order; never raises on what an event holds.

    `began_at` is on the clock of every `at` and `now`. Each product is read, watched and proven by
    itself: `products` are those in scope, of older trails the one without a name; so many
    positions as are `unlisted` of a product are open and were named by no reading, of the notional
    beside it.
    """

    began_at: float
    timeout_s: float
    symbols: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset({""})
    closes: bool = True
    read: set[str] = field(default_factory=set)
    found_notional: Decimal = _ZERO
    by_leg: dict[tuple[str, str], LiveRow] = field(default_factory=dict)
    unlisted_by: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    orders_by: dict[str, int] = field(default_factory=dict)
    cancelled: set[tuple[str, str]] = field(default_factory=set)
    retries: int = 0
    trouble: str = ""
    unread_by: dict[str, str] = field(default_factory=dict)
    watches: dict[str, tuple[float, float]] = field(default_factory=dict)
    proven: set[str] = field(default_factory=set)
    ended: str = ""

    @property
    def has_read(self) -> bool:
        """Whether enough was read to say what is open: every product, or one that shows some."""
        return self.products <= self.read or bool(self.by_leg or self.unlisted)

    @property
    def unlisted(self) -> int:
        """How many positions are open and were named by no reading."""
        return sum(number for number, _ in self.unlisted_by.values())

    @property
    def unlisted_notional(self) -> Decimal:
        """What those are worth."""
        return sum((notional for _, notional in self.unlisted_by.values()), _ZERO)

    def note(self, event_type: str, details: Mapping[str, Any], at: float) -> None:
        """Take in one event that happened at that moment."""
        product = str(details.get("product") or "")
        match event_type:
            case AuditEventType.LIQUIDATION_START:
                config = details.get("config")
                if isinstance(config, Mapping):
                    self.symbols = frozenset(config.get("symbols") or ())
                    own = {product_of(symbol) for symbol in self.symbols}
                    products = map(str, config.get("products") or ("",))
                    self.products = frozenset(p for p in products if not (p and own) or p in own)
                    self.closes = bool(config.get("close_positions", True))
            case AuditEventType.SNAPSHOT_TAKEN:
                self._read(details, product, at)
            case AuditEventType.FLAT_SEEN:
                watch_s = details.get("watch_seconds")
                self.watches[product] = at, watch_s if isinstance(watch_s, int | float) else 0.0
                self.proven.discard(product)
            case AuditEventType.REENTRY_SEEN:
                self._break_off(product)
            case AuditEventType.VERIFIED:
                self.proven.add(product)
            case _ if event_type in _CANCELS:
                self._cancel(event_type, details, at)
            case _ if event_type in RUN_ENDS:
                self.ended = str(details.get("state", "")).lower()
            case _ if "symbol" in details:
                self._close(event_type, details, at)
            case _:
                pass

    def rows(self) -> list[LiveRow]:
        """Return what to show, worst first."""
        ranked = sorted(
            self.by_leg.values(), key=lambda row: (row.stage, -row.notional, row.symbol)
        )
        return [row for row in ranked if row.position_side or row.stage is not Stage.CANCELLED]

    def open_notional(self) -> Decimal:
        """Return what no answer and no reading shows closed."""
        return sum((row.still_open for row in self.by_leg.values()), self.unlisted_notional)

    def _break_off(self, product: str) -> None:
        """Take back that the product was seen flat."""
        self.watches.pop(product, None)
        self.proven.discard(product)

    def phase(self, now: float, *, stopping: bool = False) -> str:
        """Return what the run is about."""
        stages = {row.stage for row in self.by_leg.values()}
        if self.ended or stopping:
            return self.ended or "stopping"
        if self.products <= self.proven:
            return "flat, proven"
        if not self.has_read:
            return "reading the account"
        if self.products <= self.watches.keys():
            # The books that are swept late in the watch change nothing about it.
            flat_at, watch_s = max(self.watches[product] for product in self.products)
            watched_s = min(max(now - flat_at, 0.0), watch_s)
            return f"flat, watching {watched_s:.1f} s of {watch_s:.1f} s"
        if self.unlisted or stages & {Stage.REFUSED, Stage.CLOSING, Stage.UNKNOWN}:
            return "closing"
        if Stage.CANCELLING in stages or Stage.OPEN in stages:
            return "cancelling"
        if not self.products <= self.read:
            return "reading the account"
        return "reading again: is it flat?"

    def _read(self, details: Mapping[str, Any], product: str, at: float) -> None:
        """Take in a reading; a source that could not be read leaves what was known of it."""
        unread = details.get("unread")
        told = unread.items() if isinstance(unread, Mapping) else ()
        self.unread_by[product] = "; ".join(f"{named(name, product)}: {why}" for name, why in told)
        if "only" in details:
            return
        orders = [details.get("regular_orders"), details.get("algo_orders")]
        counted = sum(number for number in orders if isinstance(number, int))
        self.orders_by[product] = max(self.orders_by.get(product, 0), counted)
        positions = details.get("positions")
        if not isinstance(positions, int):
            return
        # A reading lists the worst legs by "symbol side quantity", and their notionals beside them.
        notionals = list(map(_amount, details.get("notionals") or ()))
        listed: dict[tuple[str, str], Decimal] = {}
        for index, line in enumerate(details.get("open") or ()):
            symbol, side, quantity = (*str(line).rsplit(" ", 2), "", "")[:3]
            notional = notionals[index] if index < len(notionals) else _ZERO
            listed[symbol, side] = notional
            if not self.symbols or symbol in self.symbols:
                self._see((symbol, side), _amount(quantity), notional, product, at)
        rows = {key: row for key, row in self.by_leg.items() if row.product == product}
        if positions == len(listed):
            for key, row in rows.items():
                if row.position_side and key not in listed and row.stage is not Stage.FLAT:
                    row.move(Stage.FLAT, at)
        closed = {Stage.FILLED, Stage.FLAT}
        rest = [r for r in rows.values() if r.is_estimated and r.stage not in closed]
        unlisted = 0 if self.symbols else max(positions - len(listed) - len(rest), 0)
        beyond = _amount(details.get("notional")) - sum(listed.values(), _ZERO)
        beyond -= sum((row.notional for row in rest), _ZERO)
        beyond = max(beyond, _ZERO) if unlisted else _ZERO
        self.unlisted_by[product] = unlisted, beyond
        if product not in self.read:
            self.read.add(product)
            self.found_notional += sum((row.notional for row in rows.values()), _ZERO) + beyond

    def _see(
        self,
        key: tuple[str, str],
        quantity: Decimal,
        notional: Decimal,
        product: str,
        at: float,
    ) -> None:
        """Take in that a reading shows a leg open."""
        row = self.by_leg.get(key)
        if row is None:
            row = LiveRow(symbol=key[0], position_side=key[1], product=product)
            self.by_leg[key] = row
            row.move(Stage.OPEN if self.closes else Stage.LEFT_ALONE, at)
        elif row.stage is Stage.FLAT:
            row.reason = "listed again"
            self._break_off(product)
            row.stages.clear()
            row.move(Stage.OPEN, at)
        row.quantity, row.notional, row.is_estimated = quantity, notional, False
        if row.stage is not Stage.FILLED:  # a reading can lag behind a fill
            row.executed.clear()

    def _leg(self, details: Mapping[str, Any]) -> LiveRow:
        """Return the leg an event names; in the other position mode it is called otherwise."""
        symbol = str(details.get("symbol", "?"))
        side = str(details.get("position_side", ""))
        row = self.by_leg.get((symbol, side))
        if row is not None:
            return row
        legs = [r for r in self.by_leg.values() if r.symbol == symbol and r.position_side]
        if len(legs) == 1:
            return legs[0]
        product = str(details.get("product") or "")
        row = LiveRow(symbol=symbol, position_side=side, product=product, is_estimated=True)
        self.by_leg[symbol, side] = row
        quantity = _amount(details.get("quantity"))
        row.quantity = -quantity if details.get("side") == "BUY" else quantity
        unlisted, notional = self.unlisted_by.get(product, (0, _ZERO))
        if unlisted:
            row.notional = notional / unlisted
            self.unlisted_by[product] = unlisted - 1, notional - row.notional
        return row

    def _close(self, event_type: str, details: Mapping[str, Any], at: float) -> None:
        """Take in what became of a close."""
        row = self._leg(details)
        match event_type:
            case AuditEventType.POSITION_CLOSED:
                row.move(Stage.FLAT, at)
            case AuditEventType.ORDER_SENT:
                self._break_off(row.product)
                tries = details.get("attempt")
                row.tries = tries if isinstance(tries, int) else row.tries + 1
                row.move(Stage.CLOSING, at)
            case AuditEventType.ORDER_PLACED:
                executed = _amount(details.get("executed"))
                row.executed[str(details.get("client_order_id"))] = executed
                if not row.still_open:
                    row.move(Stage.FILLED, at)
                    row.reason = ""
            case AuditEventType.RETRY_SCHEDULED:
                self.retries += 1
                row.reason = str(details.get("reason") or "") or row.reason
                self.trouble = f"{row.symbol}: {row.reason}"
                row.move(Stage.REFUSED, at)
                backoff_s = details.get("backoff_s")
                row.again_at = at + (backoff_s if isinstance(backoff_s, int | float) else 0.0)
            case _ if event_type in _REFUSALS:
                row.move(_REFUSALS[event_type], at)
                row.again_at = 0.0
                row.reason = _reason(details) or row.reason
                if row.reason:
                    self.trouble = f"{row.symbol}: {row.reason}"
            case _:
                pass

    def _cancel(self, event_type: str, details: Mapping[str, Any], at: float) -> None:
        """Take in what became of a symbol's cancel; stops swept after a close move no leg."""
        symbol = str(details.get("symbol", "?"))
        rows = [r for r in self.by_leg.values() if r.symbol == symbol]
        if not rows:
            product = str(details.get("product") or "")
            row = LiveRow(symbol=symbol, position_side="", product=product)
            rows = [self.by_leg.setdefault((symbol, ""), row)]
        ids = details.get("order_ids")
        if event_type == AuditEventType.ORDER_CANCELLED:
            self.cancelled |= {(symbol, str(order_id)) for order_id in ids or ()}
        for row in rows:
            match event_type:
                case AuditEventType.ORDER_CANCEL_SENT if row.stage in {
                    Stage.OPEN,
                    Stage.CANCELLED,
                    Stage.REFUSED,
                }:
                    row.move(Stage.CANCELLING, at)
                case AuditEventType.ORDER_CANCELLED if not row.position_side:
                    row.move(Stage.CANCELLED, at)
                case AuditEventType.ORDER_CANCEL_REJECTED if row.stage is Stage.CANCELLING:
                    row.reason = f"cancel: {_reason(details)}"
                    if not row.position_side:
                        row.move(Stage.REFUSED, at)


def _reason(details: Mapping[str, Any]) -> str:
    """Return an event's reason: its own words, or those of the error of a result's row."""
    error = details.get("error")
    told = error if isinstance(error, Mapping) else details
    message = str(told.get("message") or "")
    code = told.get("code")
    return f"{message} (code {code})" if message and code is not None else message


def _amount(value: object) -> Decimal:
    return parse_decimal(value) or _ZERO


def draw(
    model: LiveModel,
    now: float,
    *,
    title: str,
    width: int,
    height: int,
    colour: bool,
    stopping: bool = False,
) -> list[str]:
    """Return one frame's lines, none wider than `width` and no more than `height`."""
    console = make_console(width=width, height=height, colour=colour)
    phase, rows = model.phase(now, stopping=stopping), model.rows()
    first = Text(f"{clean(title)}  ", style="bold").append(phase, style="bold magenta")
    parts: list[Table | Text] = [first, *_head(model, now, width)]
    room = height - len(parts) - _OTHER_LINES
    if rows and room > 0:
        fits = len(rows) + bool(model.unlisted) <= room
        shown = rows if fits else rows[: room - 1]
        rest = rows[len(shown) :]
        parts += [Text(), _rows(shown, now, width=width)] if shown else [Text()]
        if rest or model.unlisted:
            stages = Counter(row.stage.word for row in rest)
            stages.update({Stage.OPEN.word: model.unlisted} if model.unlisted else {})
            ways = ", ".join(f"{number} {word}" for word, number in stages.items())
            left = money(sum((row.still_open for row in rest), model.unlisted_notional))
            told = f"and {len(rest) + model.unlisted} more, {left} still open: {ways}"
            parts.append(Text(told, style="dim"))
    with console.capture() as captured:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis")
    return [line.rstrip() for line in captured.get().splitlines()[:height]]


def _head(model: LiveModel, now: float, width: int) -> "list[Table | Text]":
    """Return exposure and time with their bars, then what happened."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(min_width=_LABEL - 2, no_wrap=True)
    grid.add_column(min_width=_VALUE, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_BAR)
    passed_s, still_open = max(now - model.began_at, 0.0), model.open_notional()
    left_s, found = max(model.timeout_s - passed_s, 0.0), max(model.found_notional, still_open)
    exposure = f"{money(still_open)} of {money(found)} notional"
    if not model.has_read:
        exposure = f"not known yet, reading for {passed_s:.1f} s"
    time = f"{left_s:.1f} s left of {model.timeout_s:g} s"
    for label, told, total, left in (
        ("open", exposure, float(found), float(still_open)),
        ("time", time, model.timeout_s, left_s),
    ):
        bar = ProgressBar(
            total=total,
            completed=left,
            width=_BAR,
            # In the terminal's own colour: rich's are not for every ground.
            style="dim",
            complete_style="bold",
            finished_style="bold",
        )
        grid.add_row(label, told, bar if total else "")
    cancelled = len(model.cancelled)
    orders_found = max(sum(model.orders_by.values()), cancelled)
    lines: list[Table | Text] = [grid]
    for label, told in (
        ("orders", f"{cancelled} of {orders_found} cancelled" if orders_found else ""),
        ("retries", str(model.retries or "")),
        ("unread", "; ".join(filter(None, model.unread_by.values()))),
        ("trouble", model.trouble),
    ):
        told_lines = draw_screen(labelled((label, clean(told) if told else None)), width=width)
        shown = told_lines[:_TOLD_MAX]  # The rows need the room.
        if len(told_lines) > _TOLD_MAX:
            shown[-1] = f"{shown[-1][: width - 2]} …"
        lines += map(Text, shown)
    return lines


def _rows(rows: Sequence[LiveRow], now: float, *, width: int) -> Table:
    """Return the rows as a table whose last column alone is cut where the terminal ends."""
    is_wide = width >= _WIDE
    head = ["symbol", "side", *["quantity"] * is_wide, "notional"]
    cells = []
    for row in rows:
        texts = [named(row.symbol, row.product), "orders", *[""] * is_wide, ""]
        if row.position_side:
            about = "~" if row.is_estimated else ""
            quantity = [sized(plain(abs(row.quantity)), row.product)] * is_wide
            texts[1:] = [row.side, *quantity, f"{about}{money(row.still_open)}"]
        cells.append(texts)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    for index, name in enumerate(head):
        table.add_column(name, no_wrap=True, justify="right" if index > 1 else "left")
    table.add_column("way", no_wrap=True, overflow="ellipsis", ratio=1)
    for row, texts in zip(rows, cells, strict=True):
        way = Text(clean(row.way(now)), style=_STYLES.get(row.stage, ""))
        table.add_row(*map(Text, texts), way)
    return table
