"""The live view: events of a run in, the lines of a frame out, drawn by rich.

Of several accounts, each has a line, as each leg of one has.

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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, Self

from rich.progress_bar import ProgressBar  # noqa: TID253 - see above
from rich.table import Table  # noqa: TID253
from rich.text import Text  # noqa: TID253

from liqctl.desk.text import (
    clean,
    count,
    labelled,
    lines_of,
    make_console,
    money,
    named,
    sized,
    tally,
)
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


class _Styled(IntEnum):
    """A member's number is its rank, the smaller, the more it needs somebody to look at it."""

    style: str

    def __new__(cls, rank: int, style: str = "") -> Self:
        """Make one member; its rank alone finds it again."""
        member = int.__new__(cls, rank)
        member._value_ = rank
        member.style = style
        return member

    @property
    def word(self) -> str:
        return self.name.lower().replace("_", " ")


class Stage(_Styled):
    """Where a row stands."""

    FAILED = 1, "bold red"
    UNKNOWN = 2, "bold magenta"
    REFUSED = 3, "magenta"
    CLOSING = 4, "bold"
    CANCELLING = 5, "bold"
    OPEN = 6
    LEFT_ALONE = 7, "dim"
    FILLED = 8, "green"
    CANCELLED = 9, "dim"
    FLAT = 10, "dim green"


class Step(_Styled):
    """What a run is about; DONE is the end of one that was to leave something alone."""

    FAILED = 1, "bold red"
    PARTLY = 2, "bold magenta"
    WITH_ANOTHER_RUN = 3, "magenta"
    CLOSING = 4, "bold"
    CANCELLING = 5, "bold"
    READING = 6
    READING_AGAIN = 7
    WATCHING_FLAT = 8, "green"
    DONE = 9, "dim green"
    FLAT = 10, "dim green"
    SKIPPED = 11, "dim"


_ENDS: Final = {"failed": Step.FAILED, "partial": Step.PARTLY, "completed": Step.FLAT}
_NOT_BEGUN: Final[Mapping[str, Step]] = {
    AuditEventType.LIQUIDATION_BLOCKED: Step.WITH_ANOTHER_RUN,
    AuditEventType.LIQUIDATION_SKIPPED: Step.SKIPPED,
}
_QUIET: Final = {Step.WATCHING_FLAT, Step.DONE, Step.FLAT}
"""Steps at which nobody asks any more what went wrong before."""

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
    not_begun: Step | None = None

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
                self.trouble = str(details.get("error_message") or "") or self.trouble
            case _ if event_type in _NOT_BEGUN:
                self.not_begun = _NOT_BEGUN[event_type]
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

    @property
    def found(self) -> Decimal:
        """What was open at first, and never less than is still."""
        return max(self.found_notional, self.open_notional())

    @property
    def orders_told(self) -> tuple[int, int]:
        """How many orders are cancelled, of how many."""
        cancelled = len(self.cancelled)
        return cancelled, max(sum(self.orders_by.values()), cancelled)

    @property
    def unread(self) -> str:
        """Which sources did not answer, and why."""
        return "; ".join(filter(None, self.unread_by.values()))

    @property
    def step(self) -> Step:
        """What the run is about."""
        stages = {row.stage for row in self.by_leg.values()}
        if self.not_begun is not None:
            return self.not_begun
        if self.ended in _ENDS:
            end = _ENDS[self.ended]
            return end if self.closes or end is not Step.FLAT else Step.DONE
        if self.products <= self.proven:
            return Step.FLAT
        if not self.has_read:
            return Step.READING
        if self.products <= self.watches.keys():
            return Step.WATCHING_FLAT
        if self.unlisted or stages & {Stage.REFUSED, Stage.CLOSING, Stage.UNKNOWN}:
            return Step.CLOSING
        if Stage.CANCELLING in stages or Stage.OPEN in stages:
            return Step.CANCELLING
        return Step.READING_AGAIN if self.products <= self.read else Step.READING

    def phase(self, now: float, *, stopping: bool = False) -> str:
        """Return what the run is about in words."""
        if self.ended or stopping:
            return self.ended or "stopping"
        match self.step:
            case Step.FLAT:
                return "flat, proven"
            case Step.READING:
                return "reading the account"
            case Step.WATCHING_FLAT:
                # The books that are swept late in the watch change nothing about it.
                flat_at, watch_s = max(self.watches[product] for product in self.products)
                watched_s = min(max(now - flat_at, 0.0), watch_s)
                return f"flat, watching {watched_s:.1f} s of {watch_s:.1f} s"
            case Step.READING_AGAIN:
                return "reading again: is it flat?"
            case step:
                return step.word

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
            if self.symbols and symbol not in self.symbols:
                continue
            row = self.by_leg.get((symbol, side))
            if row is None:
                row = LiveRow(symbol=symbol, position_side=side, product=product)
                self.by_leg[symbol, side] = row
                row.move(Stage.OPEN if self.closes else Stage.LEFT_ALONE, at)
            elif row.stage is Stage.FLAT:
                row.reason = "listed again"
                self._break_off(product)
                row.stages.clear()
                row.move(Stage.OPEN, at)
            row.quantity, row.notional, row.is_estimated = _amount(quantity), notional, False
            if row.stage is not Stage.FILLED:  # a reading can lag behind a fill
                row.executed.clear()
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


@dataclass(slots=True, kw_only=True)
class LiveAccounts:
    """Takes in the events of several accounts, each of which has a model of its own."""

    began_at: float
    timeout_s: float
    by_name: dict[str, LiveModel] = field(default_factory=dict)

    def note(self, event_type: str, details: Mapping[str, Any], at: float) -> None:
        """Take in one event, which names its `account`, that happened at that moment."""
        name = str(details.get("account") or "")
        if name not in self.by_name:
            self.by_name[name] = LiveModel(began_at=self.began_at, timeout_s=self.timeout_s)
        self.by_name[name].note(event_type, details, at)

    def ranked(self) -> list[tuple[str, LiveModel]]:
        """Return the accounts with their names, worst first."""
        return sorted(
            self.by_name.items(),
            key=lambda item: (item[1].step, -item[1].open_notional(), item[0]),
        )

    def phase(self, now: float, *, stopping: bool = False) -> str:  # noqa: ARG002 - as of one run
        """Return how many accounts are at which step, worst first."""
        told = tally(model.step.word for _, model in self.ranked())
        return f"stopping: {told}" if stopping else told


def draw(
    model: LiveModel | LiveAccounts,
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
    phase = model.phase(now, stopping=stopping)
    first = Text(f"{clean(title)}  ", style="bold").append(phase, style="bold magenta")
    parts: list[Table | Text] = [first, *_head(model, now, width)]
    room = height - len(parts) - _OTHER_LINES
    if room > 0 and isinstance(model, LiveAccounts):
        parts += _accounts(model, room)
    elif room > 0 and isinstance(model, LiveModel):
        parts += _legs(model, now, room, width=width)
    with console.capture() as captured:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis")
    return [line.rstrip() for line in captured.get().splitlines()[:height]]


def _head(model: LiveModel | LiveAccounts, now: float, width: int) -> "list[Table | Text]":
    """Return exposure and time with their bars, then what happened."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(min_width=_LABEL - 2, no_wrap=True)
    grid.add_column(min_width=_VALUE, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_BAR)
    unread, trouble = "", ""
    if isinstance(model, LiveModel):
        models, unread, trouble = [model], model.unread, model.trouble
    else:  # Why there is trouble is told in the rows.
        models = [each for each in model.by_name.values() if each.not_begun is None]
        if unknown := sum(not each.has_read for each in models):
            unread = f"what is open on {count(unknown, 'account')} is not known"
    passed_s = max(now - model.began_at, 0.0)
    left_s = max(model.timeout_s - passed_s, 0.0)
    still_open = sum((each.open_notional() for each in models), _ZERO)
    found = sum((each.found for each in models), _ZERO)
    exposure = f"{money(still_open)} of {money(found)} notional"
    if not any(each.has_read for each in models):
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
    told_orders = [each.orders_told for each in models]
    cancelled, orders = (sum(each[at] for each in told_orders) for at in (0, 1))
    lines: list[Table | Text] = [grid]
    for label, told in (
        ("orders", f"{cancelled} of {orders} cancelled" if orders else ""),
        ("retries", str(sum(each.retries for each in models) or "")),
        ("unread", unread),
        ("trouble", trouble),
    ):
        told_lines = lines_of(labelled((label, clean(told) if told else None)), width=width)
        shown = told_lines[:_TOLD_MAX]  # The rows need the room.
        if len(told_lines) > _TOLD_MAX:
            shown[-1] = f"{shown[-1][: width - 2]} …"
        lines += map(Text, shown)
    return lines


def _legs(model: LiveModel, now: float, room: int, *, width: int) -> "list[Table | Text]":
    """Return the legs, worst first, and a line for those that have no room."""
    rows = model.rows()
    if not rows:
        return []
    fits = len(rows) + bool(model.unlisted) <= room
    shown = rows if fits else rows[: room - 1]
    rest = rows[len(shown) :]
    is_wide = width >= _WIDE
    head = ["symbol", "side", *["quantity"] * is_wide, "notional"]
    table = _grid(head, last="way", right=range(2, len(head)))
    for row in shown:
        texts = [named(row.symbol, row.product), "orders", *[""] * is_wide, ""]
        if row.position_side:
            about = "~" if row.is_estimated else ""
            quantity = [sized(plain(abs(row.quantity)), row.product)] * is_wide
            texts[1:] = [row.side, *quantity, f"{about}{money(row.still_open)}"]
        way = Text(clean(row.way(now)), style=row.stage.style)
        table.add_row(*map(Text, texts), way)
    parts: list[Table | Text] = [Text(), *[table] * bool(shown)]
    if rest or model.unlisted:
        stages = Counter(row.stage.word for row in rest)
        stages[Stage.OPEN.word] += model.unlisted
        left = money(sum((row.still_open for row in rest), model.unlisted_notional))
        parts.append(_more(len(rest) + model.unlisted, left, tally(stages)))
    return parts


def _more(number: int, left: str, ways: str) -> Text:
    return Text(f"and {number} more, {left} still open: {ways}", style="dim")


def _accounts(model: LiveAccounts, room: int) -> "list[Table | Text]":
    """Return the accounts, worst first, and a line for those that have no room."""
    ranked = model.ranked()
    shown = ranked if len(ranked) <= room else ranked[: room - 1]
    rest = [one for _, one in ranked[len(shown) :]]
    head = ("account", "state", "open", "closed", "cancelled")
    table = _grid(head, last="why", right={2, 3, 4})
    for name, one in shown:
        cells = ["", "", ""]
        if one.has_read:
            # Answers or readings show them closed.
            stages = [row.stage for row in one.by_leg.values() if row.position_side]
            closed = sum(stage in {Stage.FILLED, Stage.FLAT} for stage in stages)
            cells = [money(one.open_notional()), f"{closed} of {len(stages) + one.unlisted}"]
            cells.append("{} of {}".format(*one.orders_told))
        word = Text(one.step.word, style=one.step.style)
        why = "" if one.step in _QUIET else one.trouble or one.unread
        table.add_row(Text(clean(name)), word, *map(Text, cells), Text(clean(why)))
    parts: list[Table | Text] = [Text(), table]
    if rest:
        left = money(sum((one.open_notional() for one in rest), _ZERO))
        parts.append(_more(len(rest), left, tally(one.step.word for one in rest)))
    return parts


def _grid(head: Sequence[str], *, last: str, right: Collection[int]) -> Table:
    """Return a table whose last column alone is cut where the terminal ends."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    for index, name in enumerate(head):
        table.add_column(name, no_wrap=True, justify="right" if index in right else "left")
    table.add_column(last, no_wrap=True, overflow="ellipsis", ratio=1)
    return table
