"""The rules that trip an armed switch: what each measures, and when it may be believed.

    max_loss               equity at 00:00 UTC - equity now + net transfers since, quote currency
    max_drawdown           (peak - now) / peak x 100 of the equity, in per cent
    max_notional           sum of the notionals of all positions; both legs of a hedge count
    max_position_notional  the same of the symbol that has the most
    min_margin_ratio       margin balance / maintenance margin of the worst pool; uniMMR
    max_orders_per_minute  orders that the venue counts for the account in a minute

A `max_` rule is over when its value is above the limit, a `min_` rule when it is below. A guard
trips when so many readings from different moments agree: what is not known, or was read too long
ago, neither trips nor is green, and a single spike counts once. The first and the last of them
count only with transfers and prices that were read no earlier than the equity; between them older
ones do, for they cost three times as much as the rest. A sum of notionals that is over its limit
without a product that could not be read is over it all the same.

    peak     of the lowest of the last three readings, so a spike raises it no further
    anchor   the median of the three readings about 00:00 UTC, or of the first three
    levels   both are of the equity without net transfers, read after the equity they belong to
    percent  by the peak and net transfers since: 100 lost of 1,000 is 10, also after a deposit

Pure: times are handed in, those called `at` of the loop's clock, in seconds. `judge` folds one
sample into a state and returns where each guard stands; what a trip does is decided elsewhere.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from liqctl.kernel import pacing
from liqctl.kernel.amounts import count, parse_decimal, plain, rounded
from liqctl.kernel.as_json import as_json, dump_line, rfc3339
from liqctl.kernel.policy import Guard, Rule
from liqctl.kernel.states import Explained, Margin, Product
from liqctl.kernel.values import CoinPrice, Equity, Position, Rows, Transfer, exposure_of, worth

T = TypeVar("T")

_SCHEMA: Final = "liqctl.guards/1"
_DIGITS: Final = Decimal("0.0001")
_SHOWN: Final = Decimal("0.01")


class GuardLevel(Explained):
    """Where a guard stands."""

    GREEN = "green", "well inside the limit"
    NEAR = "near", "at least 80 per cent of the limit is used"
    OVER = "over", "beyond the limit; it trips when enough readings agree"
    UNKNOWN = "unknown", "what it needs was not read, or too long ago: it can neither trip nor pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[T]):
    """What one request showed, and when it left."""

    value: T
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is known of an account at one moment; None is what is not known.

    The keys of the mappings are what has to be known: in portfolio margin one product stands for
    the whole account's equity, and `transfers` is empty. `at` and `now` are the same moment, `now`
    by the venue's clock in UTC. A value may be of an earlier sample: its own `at` tells its age.

    Attributes:
        equity: of each product in scope.
        prices: of coins, for COIN-M only.
        transfers: of each product, since `transfers_since` of the state.
        positions: of each product, complete readings only.
        orders_1m: orders of the last minute.
    """

    at: float
    now: datetime
    equity: Mapping[Product, Read[Equity] | None] = field(default_factory=dict)
    prices: Read[Mapping[str, CoinPrice]] | None = None
    transfers: Mapping[Product, Read[Rows[Transfer]] | None] = field(default_factory=dict)
    positions: Mapping[Product, Read[tuple[Position, ...]] | None] = field(default_factory=dict)
    orders_1m: Read[int] | None = None

    def moment(self, at: float) -> datetime:
        """Return a moment of the loop's clock in UTC."""
        return self.now.astimezone(UTC) - timedelta(seconds=self.at - at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One reading of the equity without net transfers."""

    equity: Decimal
    at: float
    moment: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Where a guard stood, since when, and how many readings in a row agree that it is over.

    `lacks`: the last one did not count, for want of transfers and prices as new as the equity.
    """

    level: GuardLevel
    since: datetime
    agreeing: int = 0
    counted_at: float | None = None
    lacks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardState:
    """What is remembered from sample to sample, and across a restart on the same day (UTC).

    `anchor` and `peak` are of the equity without net transfers since `began`; both are None until
    enough readings made them. `basis` names what the equity is of. `note` says why a state was
    begun anew, None where there was none before.
    """

    account: str
    basis: str = ""
    began: datetime | None = None
    day: date | None = None
    anchor: Decimal | None = None
    anchor_at: datetime | None = None
    peak: Decimal | None = None
    peak_at: datetime | None = None
    recent: tuple[Level, ...] = ()
    streaks: Mapping[Guard, Streak] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one guard stands at one sample.

    `used` is the share of the limit that is used, 0 to 1, None while unknown. `why` says why it is
    unknown, or what the value is of. `value` is None while unknown, and where there is nothing to
    divide by. `inputs` and `ages_s` are what the value was made of. `lacks` is that of its streak.
    """

    guard: Guard
    level: GuardLevel
    value: Decimal | None
    used: Decimal | None
    since: datetime
    agreeing: int
    trips: bool
    why: str
    inputs: Mapping[str, object]
    ages_s: Mapping[str, float]
    lacks: bool = False


def judge(
    guards: Iterable[Guard], state: GuardState, sample: Sample
) -> tuple[GuardState, tuple[Standing, ...]]:
    """Return the state with the sample in it, and where each guard stands, in their order."""
    state = _with_level(state, sample)
    standings = tuple(_stand(guard, state, sample) for guard in guards)
    streaks = {guard: streak for guard, (_, streak) in zip(guards, standings, strict=True)}
    return replace(state, streaks=streaks), tuple(standing for standing, _ in standings)


def transfers_since(state: GuardState, now: datetime) -> int:
    """Return from when on transfers have to be read, in the venue's milliseconds."""
    return int((state.began or now).timestamp() * 1000)


def wants_transfers(standings: Iterable[Standing]) -> bool:
    """Return whether transfers, and prices, are to be read with this equity, not in their turn.

    Where a reading over the limit counts only with them, and while the day's anchor is not made
    yet, which takes transfers that were read no earlier than the equity.
    """
    its = [each for each in standings if each.guard.rule.needs_transfers]
    return any(each.lacks or each.level is GuardLevel.UNKNOWN for each in its)


def trip_details(standing: Standing) -> dict[str, object]:
    """Return what a trip records: rule, limit, value, and what the value was made of."""
    guard = standing.guard
    return {
        "rule": guard.rule.value,
        "limit": plain(guard.limit),
        **({"symbols": list(guard.symbols)} if guard.symbols else {}),
        "value": None if standing.value is None else plain(rounded(standing.value, _DIGITS)),
        "readings": standing.agreeing,
        "inputs": as_json(standing.inputs),
        "ages_s": {name: round(age_s, 3) for name, age_s in standing.ages_s.items()},
    }


def explain_standing(standing: Standing) -> str:
    """Return where a guard stands, in words."""
    guard, level = standing.guard, standing.level
    if level is GuardLevel.UNKNOWN:
        return f"{guard}: unknown, because {standing.why}"
    value = "nothing to measure" if standing.value is None else _shown(guard, standing.value)
    told = f"{guard}: {level}, {value}{f' {standing.why}' if standing.why else ''}"
    if level is not GuardLevel.OVER:
        return told
    return f"{told}, in {standing.agreeing} of {count(guard.readings, 'reading')}"


def explain_trip(standing: Standing) -> str:
    """Return the reason of a liquidation that a guard started.

    >>> explain_trip(Standing(
    ...     guard=Guard(rule=Rule.MAX_LOSS, limit=Decimal(500)), level=GuardLevel.OVER,
    ...     value=Decimal("612.3"), used=Decimal(1), since=datetime(2026, 1, 2, tzinfo=UTC),
    ...     agreeing=3, trips=True, why="since 00:00 UTC", inputs={}, ages_s={}))
    'guard max_loss 500 tripped: 612.30 since 00:00 UTC, in 3 readings'
    """
    value = "" if standing.value is None else _shown(standing.guard, standing.value)
    why = f" {standing.why}" if standing.why else ""
    readings = count(standing.agreeing, "reading")
    return f"guard {standing.guard} tripped: {value}{why}, in {readings}"


def _shown(guard: Guard, value: Decimal) -> str:
    return f"{plain(rounded(value, _SHOWN))}{guard.rule.unit}"


def state_as_json(state: GuardState) -> str:
    """Return what a restart needs, as one line of JSON.

    Readings and how many of them agree are left out: after a restart they are of another time.
    """
    names = ("account", "basis", "began", "anchor", "anchor_at", "peak", "peak_at")
    day = state.day.isoformat() if state.day else None
    return dump_line(
        {"schema": _SCHEMA, "day": day, **{name: getattr(state, name) for name in names}}
    )


def restored_state(text: str | None, *, account: str, now: datetime) -> GuardState:
    """Return the state that was kept, or a new one whose `note` says why it is new.

    Args:
        text: what `state_as_json` gave; None where nothing was kept.
        account: whose state is wanted: a kept one of another account is not taken.
        now: by the venue's clock, in UTC.
    """
    fresh = GuardState(account=account)
    if text is None:
        return fresh
    try:
        state = _read_state(text)
    except (ValueError, LookupError, TypeError, RecursionError):
        return replace(fresh, note="the kept state of the guards cannot be read; it begins anew")
    if state.account != account:
        return replace(fresh, note="the kept state is of another account; it begins anew")
    if state.began is None or state.day is None:
        return fresh
    if state.day != now.astimezone(UTC).date():
        why = f"the kept state is of {state.day.isoformat()}; loss and peak are measured anew"
        return replace(fresh, note=why)
    return state


def _read_state(text: str) -> GuardState:
    kept = json.loads(text)
    if kept["schema"] != _SCHEMA:
        raise ValueError(kept["schema"])
    return GuardState(
        account=str(kept["account"]),
        basis=str(kept["basis"]),
        day=date.fromisoformat(kept["day"]) if kept["day"] else None,
        began=_read_moment(kept["began"]),
        anchor=_read_amount(kept["anchor"]),
        anchor_at=_read_moment(kept["anchor_at"]),
        peak=_read_amount(kept["peak"]),
        peak_at=_read_moment(kept["peak_at"]),
    )


def _read_moment(value: Any) -> datetime | None:  # noqa: ANN401 - JSON
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment


def _read_amount(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON
    if value is None:
        return None
    amount = parse_decimal(value)
    if amount is None:
        raise ValueError(value)
    return amount


class _UnknownError(Exception):
    """What a rule needs is not known; the text says what and why."""


@dataclass(slots=True)
class _Inputs:
    """What a value is made of, noted as it is taken.

    `ats` are of what each reading renews, `beside_at` of the oldest that is read less often.
    """

    sample: Sample
    inputs: dict[str, object] = field(default_factory=dict)
    ages_s: dict[str, float] = field(default_factory=dict)
    ats: list[float] = field(default_factory=list)
    beside_at: float = float("inf")

    @property
    def is_beside_new(self) -> bool:
        """Whether transfers and prices were read no earlier than what they belong to."""
        return self.beside_at >= min(self.ats, default=self.beside_at)

    def take(self, name: str, read: Read[T] | None, age_max_s: float) -> T:
        """Return the value; raises where it was not read, or too long ago."""
        if read is None:
            raise _UnknownError(f"{name} could not be read")
        age_s = self.sample.at - read.at
        self.ages_s[name] = age_s
        if age_s > age_max_s:
            raise _UnknownError(f"{name} was last read {age_s:.0f} s ago")
        return read.value

    def take_new(self, name: str, read: Read[T] | None) -> T:
        """Return the value of what each reading has to show anew."""
        value = self.take(name, read, pacing.GUARD_AGE_MAX_S)
        if read is not None:
            self.ats.append(read.at)
        return value

    def take_beside(self, name: str, read: Read[T] | None, age_max_s: float) -> T:
        """Return the value of what is read with some readings only."""
        value = self.take(name, read, age_max_s)
        if read is not None:
            self.beside_at = min(self.beside_at, read.at)
        return value


def _named(name: str, product: Product) -> str:
    return f"{name} of {product.shown}"


def _equities(taken: _Inputs) -> Iterator[tuple[Product, Equity]]:
    if not taken.sample.equity:
        raise _UnknownError("the equity is not read")
    for product, read in taken.sample.equity.items():
        name = _named("the equity", product)
        equity = taken.take_new(name, read)
        if equity.unreadable:
            raise _UnknownError(f"{name} has {', '.join(equity.unreadable)}, which is unreadable")
        yield product, equity


def _prices(taken: _Inputs, coins: Iterable[str]) -> Mapping[str, CoinPrice]:
    """Return prices for these coins; they are asked for only where there is one."""
    if not [*coins]:
        return {}
    return taken.take_beside("the coins' prices", taken.sample.prices, pacing.GUARD_AGE_MAX_S)


def _worth(asset: str, amount: Decimal, prices: Mapping[str, CoinPrice]) -> Decimal:
    value = worth(asset, amount, prices)
    if value is None:
        raise _UnknownError(f"no believable price of {asset} is known")
    return value


def _equity_of(taken: _Inputs) -> tuple[Decimal, str]:
    """Return the whole equity in the quote currency, and what it is of."""
    total, basis = Decimal(0), []
    for product, equity in _equities(taken):
        prices = _prices(taken, equity.coins)
        value = sum(
            (_worth(p.asset, p.balance, prices) for p in equity.pools if p.counts), Decimal(0)
        )
        taken.inputs[f"equity_{product.setting}"] = plain(value)
        if equity.account_equity is not None:
            taken.inputs["account_equity"] = plain(equity.account_equity)
        basis.append(equity.margin.value if equity.margin is Margin.PORTFOLIO else product.value)
        total += value
    return total, "+".join(basis)


def _net_transfers(taken: _Inputs, since: datetime, until: datetime) -> Decimal:
    """Return what was moved in less what was moved out, after one moment and up to the other."""
    total = Decimal(0)
    for product, read in taken.sample.transfers.items():
        name = _named("the transfers", product)
        rows = taken.take_beside(name, read, pacing.TRANSFERS_AGE_MAX_S)
        if rows.unreadable:
            raise _UnknownError(f"{name} have {', '.join(rows.unreadable)}, which is unreadable")
        low, high = since.timestamp() * 1000, until.timestamp() * 1000
        moved = [row for row in rows.items if low < row.at_ms <= high]
        coins = [row.asset for row in moved if worth(row.asset, row.amount, {}) is None]
        prices = _prices(taken, coins)
        total += sum((_worth(row.asset, row.amount, prices) for row in moved), Decimal(0))
    return total


def _with_level(state: GuardState, sample: Sample) -> GuardState:
    """Return the state with this sample's equity in anchor and peak.

    Only an equity whose transfers and prices were read no earlier counts: a deposit that is not
    seen yet would raise the peak, and a withdrawal would lower the anchor.
    """
    taken = _Inputs(sample)
    try:
        equity, basis = _equity_of(taken)
        at = min(taken.ats)
        moment = sample.moment(at)
        is_other = bool(state.basis) and state.basis != basis
        if is_other:
            note = f"the equity is of {basis} now, and was of {state.basis}: it is measured anew"
            state = GuardState(account=state.account, streaks=state.streaks, note=note)
        began = state.began or moment
        level = Level(equity=equity - _net_transfers(taken, began, moment), at=at, moment=moment)
        is_new = not state.recent or at - state.recent[-1].at >= pacing.GUARD_APART_S
        if not (is_new and taken.is_beside_new):
            return state
        state = replace(state, basis=basis, began=began)
        if state.day is not None and moment.date() > state.day:
            state, shift = _next_day(state, level, taken)
            level = replace(level, equity=level.equity + shift)
    except _UnknownError:
        return state
    recent = (*state.recent, level)[-pacing.GUARD_READINGS :]
    state = replace(state, recent=recent, day=state.day or moment.date())
    if len(recent) < pacing.GUARD_READINGS:
        return state
    if state.anchor is None:
        anchor = _median(recent)
        state = replace(state, anchor=anchor, anchor_at=recent[0].moment)
    peak = min(each.equity for each in recent)
    if state.peak is None or peak > state.peak:
        state = replace(state, peak=peak, peak_at=moment)
    return state


def _next_day(state: GuardState, level: Level, taken: _Inputs) -> tuple[GuardState, Decimal]:
    """Return the state of the new day, and how much its levels are higher.

    Transfers are counted from the last reading of the old day on, so that the list stays short.
    Where nothing was read about midnight, the new day's first readings make its anchor.
    """
    fresh = replace(state, day=level.moment.date(), anchor=None, anchor_at=None)
    last = state.recent[-1] if state.recent else None
    midnight = datetime.combine(level.moment.date(), datetime.min.time(), tzinfo=UTC)
    began = last.moment if last else level.moment
    shift = _net_transfers(taken, state.began or began, began)

    def raised(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else amount + shift

    recent = tuple(replace(each, equity=each.equity + shift) for each in state.recent)
    fresh = replace(fresh, began=began, peak=raised(state.peak), recent=recent)
    if last is None or (level.moment - last.moment).total_seconds() > pacing.MIDNIGHT_GAP_MAX_S:
        return replace(fresh, recent=()), shift
    if len(recent) < pacing.GUARD_READINGS:
        return fresh, shift
    anchor = _median(recent)
    return replace(fresh, anchor=anchor, anchor_at=midnight), shift


def _median(levels: tuple[Level, ...]) -> Decimal:
    return sorted(each.equity for each in levels)[len(levels) // 2]


def _stand(guard: Guard, state: GuardState, sample: Sample) -> tuple[Standing, Streak]:
    taken = _Inputs(sample)
    value: Decimal | None = None
    try:
        value, why = _measure(guard, state, taken)
        level, used = _level_of(guard, value)
    except _UnknownError as unknown:
        value, why, level, used = None, str(unknown), GuardLevel.UNKNOWN, None
    streak = _next_streak(state.streaks.get(guard), level, taken, guard.readings)
    standing = Standing(
        guard=guard,
        level=level,
        value=value,
        used=used,
        since=streak.since,
        agreeing=streak.agreeing,
        trips=level is GuardLevel.OVER and streak.agreeing >= guard.readings,
        why=why,
        inputs=taken.inputs,
        ages_s=taken.ages_s,
        lacks=streak.lacks,
    )
    return standing, streak


def _level_of(guard: Guard, value: Decimal | None) -> tuple[GuardLevel, Decimal]:
    """Return the level of a known value, and the share of the limit that it uses."""
    if value is None:  # Nothing is open that a margin would have to be kept for.
        return GuardLevel.GREEN, Decimal(0)
    if guard.rule.is_minimum:
        is_over = value < guard.limit
        part, whole = guard.limit, value
    else:
        is_over = value > guard.limit
        part, whole = value, guard.limit
    used = Decimal(1) if is_over else Decimal(0)
    if not is_over and whole > 0:
        used = min(max(part / whole, Decimal(0)), Decimal(1))
    if is_over:
        return GuardLevel.OVER, used
    return (GuardLevel.NEAR if used >= pacing.GUARD_NEAR else GuardLevel.GREEN), used


def _next_streak(before: Streak | None, level: GuardLevel, taken: _Inputs, readings: int) -> Streak:
    """Return how many readings agree now.

    A gap in which nothing was known neither adds nor takes away, unless it was long: a venue in
    trouble is when it matters, and when every other reading fails.
    """
    sample = taken.sample
    since = before.since if before and before.level is level else sample.now
    agreeing, counted_at = (before.agreeing, before.counted_at) if before else (0, None)
    if counted_at is not None and sample.at - counted_at > pacing.GUARD_GAP_MAX_S:
        agreeing, counted_at = 0, None
    lacks = False
    if level is GuardLevel.OVER:
        at = min(taken.ats, default=sample.at)
        is_new = counted_at is None or at - counted_at >= pacing.GUARD_APART_S
        # What was moved since the first reading is seen by the last one, so it trips nothing.
        is_between = 0 < agreeing < readings - 1
        lacks = is_new and not (is_between or taken.is_beside_new)
        if is_new and not lacks:
            agreeing, counted_at = agreeing + 1, at
    elif level is not GuardLevel.UNKNOWN:
        agreeing, counted_at = 0, None
    return Streak(level=level, since=since, agreeing=agreeing, counted_at=counted_at, lacks=lacks)


def _measure(guard: Guard, state: GuardState, taken: _Inputs) -> tuple[Decimal | None, str]:
    """Return the value of a guard's rule, and what it is of."""
    match guard.rule:
        case Rule.MAX_LOSS:
            return _loss(state, taken)
        case Rule.MAX_DRAWDOWN:
            return _drawdown(state, taken)
        case Rule.MAX_NOTIONAL:
            positions, missing = _positions(taken)
            return _at_least(exposure_of(positions), guard, missing), ""
        case Rule.MAX_POSITION_NOTIONAL:
            return _largest(guard, taken)
        case Rule.MIN_MARGIN_RATIO:
            return _margin_ratio(taken)
        case Rule.MAX_ORDERS_PER_MINUTE:
            orders = taken.take_new("the number of orders", taken.sample.orders_1m)
            taken.inputs["orders_1m"] = orders
            return Decimal(orders), "orders"


def _level_now(state: GuardState, taken: _Inputs) -> tuple[Decimal, Decimal]:
    """Return the equity without net transfers, and net transfers, since the state began."""
    equity, _ = _equity_of(taken)
    if state.began is None:
        raise _UnknownError("no equity was read with the transfers that belong to it yet")
    moved = _net_transfers(taken, state.began, taken.sample.moment(min(taken.ats)))
    taken.inputs |= {"equity": plain(equity), "net_transfers": plain(moved)}
    taken.inputs["transfers_since"] = rfc3339(state.began)
    return equity - moved, moved


def _loss(state: GuardState, taken: _Inputs) -> tuple[Decimal, str]:
    level, _ = _level_now(state, taken)
    if state.anchor is None or state.anchor_at is None:
        needed = pacing.GUARD_READINGS
        raise _UnknownError(f"a loss is measured from the first {needed} readings on")
    if state.day is not None and taken.sample.moment(min(taken.ats)).date() > state.day:
        raise _UnknownError("no equity of the new day was read with its transfers yet")
    since = f"{state.anchor_at.astimezone(UTC):%H:%M} UTC"
    taken.inputs |= {"anchor": plain(state.anchor), "anchor_at": rfc3339(state.anchor_at)}
    return state.anchor - level, f"since {since}"


def _drawdown(state: GuardState, taken: _Inputs) -> tuple[Decimal, str]:
    level, moved = _level_now(state, taken)
    if state.peak is None or state.peak_at is None:
        needed = pacing.GUARD_READINGS
        raise _UnknownError(f"a peak is made by the first {needed} readings")
    whole = state.peak + moved
    if whole <= 0:
        raise _UnknownError("there is no equity that a percentage could be of")
    taken.inputs |= {"peak": plain(state.peak), "peak_at": rfc3339(state.peak_at)}
    return max(state.peak - level, Decimal(0)) * 100 / whole, "below the peak"


def _positions(taken: _Inputs, symbols: tuple[str, ...] = ()) -> tuple[list[Position], str]:
    """Return the positions of these symbols or of all, and what is not known of others.

    Each has a notional that is known.
    """
    found: list[Position] = []
    missing = "" if taken.sample.positions else "positions are not read"
    for product, read in taken.sample.positions.items():
        try:
            positions = taken.take_new(_named("the positions", product), read)
        except _UnknownError as unknown:
            missing = missing or str(unknown)
            continue
        found += [each for each in positions if not symbols or each.symbol in symbols]
    for position in found:
        if position.quantity and not position.notional:
            raise _UnknownError(f"the notional of {position.symbol} is not known")
    taken.inputs |= {"positions": len(found), "notional": plain(exposure_of(found))}
    return found, missing


def _at_least(value: Decimal, guard: Guard, missing: str) -> Decimal:
    """Return what is known of a sum that only grows by what is missing, where that decides."""
    if missing and value <= guard.limit:
        raise _UnknownError(missing)
    return value


def _largest(guard: Guard, taken: _Inputs) -> tuple[Decimal, str]:
    by_symbol: dict[str, Decimal] = {}
    positions, missing = _positions(taken, guard.symbols)
    for position in positions:
        before = by_symbol.get(position.symbol, Decimal(0))
        by_symbol[position.symbol] = before + position.notional
    if not by_symbol:
        return _at_least(Decimal(0), guard, missing), ""
    symbol = max(by_symbol, key=lambda name: by_symbol[name])
    taken.inputs["symbol"] = symbol
    return _at_least(by_symbol[symbol], guard, missing), f"of {symbol}"


def _margin_ratio(taken: _Inputs) -> tuple[Decimal | None, str]:
    """Return the worst ratio; each pool is liquidated for its own positions only."""
    ratios: dict[str, Decimal] = {}
    for product, equity in _equities(taken):
        if equity.margin is Margin.PORTFOLIO:
            if equity.uni_mmr is None:
                raise _UnknownError("uniMMR could not be read")
            ratios["uniMMR"] = equity.uni_mmr
            continue
        for pool in equity.pools:
            if pool.maintenance > 0:
                name = f"{product.shown} {pool.asset}"
                ratios[name] = pool.balance / pool.maintenance
                taken.inputs[f"{name} margin balance"] = plain(pool.balance)
                taken.inputs[f"{name} maintenance margin"] = plain(pool.maintenance)
    if not ratios:
        return None, ""
    name = min(ratios, key=lambda each: ratios[each])
    return ratios[name], name if name == "uniMMR" else f"in {name}"
