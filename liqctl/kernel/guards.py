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
from typing import Final, Generic, TypeVar

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
class Standing:
    """Where one guard stands at one sample, since when, and how many readings in a row agree.

    Attributes:
        value: None while unknown, and where there is nothing to divide by.
        used: the share of the limit that is used, 0 to 1, None while unknown.
        agreeing: how many readings agree that it is over, the last one read at `counted_at`.
        lacks: this one did not count, for want of transfers and prices as new as the equity.
        why: why it is unknown, or what the value is of.
        inputs: what the value was made of; `ages_s` tells how old.
    """

    guard: Guard
    level: GuardLevel
    value: Decimal | None
    used: Decimal | None
    since: datetime
    agreeing: int
    why: str
    inputs: Mapping[str, object]
    ages_s: Mapping[str, float]
    counted_at: float | None = None
    lacks: bool = False

    @property
    def trips(self) -> bool:
        """Whether enough readings agree that it is over."""
        return self.level is GuardLevel.OVER and self.agreeing >= self.guard.readings


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
    standings: Mapping[Guard, Standing] = field(default_factory=dict)
    note: str | None = None


def judge(
    guards: Iterable[Guard], state: GuardState, sample: Sample
) -> tuple[GuardState, tuple[Standing, ...]]:
    """Return the state with the sample in it, and where each guard stands, in their order."""
    state = _with_level(state, sample)
    standings = tuple(_stand(guard, state, sample) for guard in guards)
    return replace(state, standings={each.guard: each for each in standings}), standings


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
    ...     agreeing=3, why="since 00:00 UTC", inputs={}, ages_s={}))
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
    unreadable = "the kept state of the guards cannot be read; it begins anew"
    try:
        kept = json.loads(text)
        if kept["schema"] != _SCHEMA:
            return replace(fresh, note=unreadable)
        state = GuardState(
            account=str(kept["account"]),
            basis=str(kept["basis"]),
            day=date.fromisoformat(kept["day"]) if kept["day"] else None,
            began=_read_moment(kept["began"]),
            anchor=_read_amount(kept["anchor"]),
            anchor_at=_read_moment(kept["anchor_at"]),
            peak=_read_amount(kept["peak"]),
            peak_at=_read_moment(kept["peak_at"]),
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return replace(fresh, note=unreadable)
    if state.account != account:
        return replace(fresh, note="the kept state is of another account; it begins anew")
    if state.began is None or state.day is None:
        return fresh
    if state.day != now.astimezone(UTC).date():
        why = f"the kept state is of {state.day.isoformat()}; loss and peak are measured anew"
        return replace(fresh, note=why)
    return state


def _read_moment(text: str | None) -> datetime | None:
    moment = None if text is None else datetime.fromisoformat(text)
    if moment is not None and moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _read_amount(text: str | None) -> Decimal | None:
    amount = parse_decimal(text)
    if amount is None and text is not None:
        raise ValueError(text)
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

    def take_new(self, name: str, read: Read[T] | None) -> T:
        """Return the value of what each reading has to show anew."""
        known = self._known(name, read, pacing.GUARD_AGE_MAX_S)
        self.ats.append(known.at)
        return known.value

    def take_beside(self, name: str, read: Read[T] | None, age_max_s: float) -> T:
        """Return the value of what is read with some readings only."""
        known = self._known(name, read, age_max_s)
        self.beside_at = min(self.beside_at, known.at)
        return known.value

    def _known(self, name: str, read: Read[T] | None, age_max_s: float) -> Read[T]:
        if read is None:
            raise _UnknownError(f"{name} could not be read")
        age_s = self.ages_s[name] = self.sample.at - read.at
        if age_s > age_max_s:
            raise _UnknownError(f"{name} was last read {age_s:.0f} s ago")
        return read


def _equities(taken: _Inputs) -> Iterator[tuple[Product, Equity]]:
    if not taken.sample.equity:
        raise _UnknownError("the equity is not read")
    for product, read in taken.sample.equity.items():
        name = f"the equity of {product.shown}"
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
        name = f"the transfers of {product.shown}"
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
            state = GuardState(account=state.account, standings=state.standings, note=note)
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
    last = state.recent[-1] if state.recent else None
    began = last.moment if last else level.moment
    shift = _net_transfers(taken, state.began or began, began)
    recent = tuple(replace(each, equity=each.equity + shift) for each in state.recent)
    gap_s = (level.moment - began).total_seconds()
    if gap_s > pacing.MIDNIGHT_GAP_MAX_S:
        recent = ()
    day = level.moment.date()
    is_midnight_known = len(recent) >= pacing.GUARD_READINGS
    midnight = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
    fresh = replace(
        state,
        began=began,
        day=day,
        anchor=_median(recent) if is_midnight_known else None,
        anchor_at=midnight if is_midnight_known else None,
        peak=None if state.peak is None else state.peak + shift,
        recent=recent,
    )
    return fresh, shift


def _median(levels: tuple[Level, ...]) -> Decimal:
    return sorted(each.equity for each in levels)[len(levels) // 2]


def _stand(guard: Guard, state: GuardState, sample: Sample) -> Standing:
    """Return where a guard stands.

    A gap in which nothing was known neither adds to the readings that agree nor takes away, unless
    it was long: a venue in trouble is when it matters, and when every other reading fails.
    """
    taken, before = _Inputs(sample), state.standings.get(guard)
    value: Decimal | None = None
    try:
        value, why = _measure(guard, state, taken)
        level, used = _level_of(guard, value)
    except _UnknownError as unknown:
        why, level, used = str(unknown), GuardLevel.UNKNOWN, None
    agreeing, counted_at = (before.agreeing, before.counted_at) if before else (0, None)
    if counted_at is not None and sample.at - counted_at > pacing.GUARD_GAP_MAX_S:
        agreeing, counted_at = 0, None
    lacks = False
    if level is GuardLevel.OVER:
        at = min(taken.ats, default=sample.at)
        is_new = counted_at is None or at - counted_at >= pacing.GUARD_APART_S
        # What was moved since the first reading is seen by the last one, so it trips nothing.
        is_between = 0 < agreeing < guard.readings - 1
        lacks = is_new and not (is_between or taken.is_beside_new)
        if is_new and not lacks:
            agreeing, counted_at = agreeing + 1, at
    elif level is not GuardLevel.UNKNOWN:
        agreeing, counted_at = 0, None
    return Standing(
        guard=guard,
        level=level,
        value=value,
        used=used,
        since=before.since if before and before.level is level else sample.now,
        agreeing=agreeing,
        why=why,
        inputs=taken.inputs,
        ages_s=taken.ages_s,
        counted_at=counted_at,
        lacks=lacks,
    )


def _level_of(guard: Guard, value: Decimal | None) -> tuple[GuardLevel, Decimal]:
    """Return the level of a known value, and the share of the limit that it uses."""
    if value is None:  # Nothing is open that a margin would have to be kept for.
        return GuardLevel.GREEN, Decimal(0)
    part, whole = (guard.limit, value) if guard.rule.is_minimum else (value, guard.limit)
    if part > whole:
        return GuardLevel.OVER, Decimal(1)
    used = max(part / whole, Decimal(0)) if whole > 0 else Decimal(0)
    return (GuardLevel.NEAR if used >= pacing.GUARD_NEAR else GuardLevel.GREEN), used


def _measure(guard: Guard, state: GuardState, taken: _Inputs) -> tuple[Decimal | None, str]:
    """Return the value of a guard's rule, and what it is of."""
    match guard.rule:
        case Rule.MAX_LOSS | Rule.MAX_DRAWDOWN:
            return _fall(guard, state, taken)
        case Rule.MAX_NOTIONAL | Rule.MAX_POSITION_NOTIONAL:
            return _notional(guard, taken)
        case Rule.MIN_MARGIN_RATIO:
            return _margin_ratio(taken)
        case Rule.MAX_ORDERS_PER_MINUTE:
            orders = taken.take_new("the number of orders", taken.sample.orders_1m)
            taken.inputs["orders_1m"] = orders
            return Decimal(orders), "orders"


def _fall(guard: Guard, state: GuardState, taken: _Inputs) -> tuple[Decimal, str]:
    """Return how far the equity is below the day's anchor, or below its peak in per cent."""
    equity, _ = _equity_of(taken)
    if state.began is None:
        raise _UnknownError("no equity was read with the transfers that belong to it yet")
    moment = taken.sample.moment(min(taken.ats))
    moved = _net_transfers(taken, state.began, moment)
    level = equity - moved
    taken.inputs |= {"equity": plain(equity), "net_transfers": plain(moved)}
    taken.inputs["transfers_since"] = rfc3339(state.began)
    needed = pacing.GUARD_READINGS
    if guard.rule is Rule.MAX_LOSS:
        if state.anchor is None or state.anchor_at is None:
            raise _UnknownError(f"a loss is measured from the first {needed} readings on")
        if state.day is not None and moment.date() > state.day:
            raise _UnknownError("no equity of the new day was read with its transfers yet")
        taken.inputs |= {"anchor": plain(state.anchor), "anchor_at": rfc3339(state.anchor_at)}
        return state.anchor - level, f"since {state.anchor_at.astimezone(UTC):%H:%M} UTC"
    if state.peak is None or state.peak_at is None:
        raise _UnknownError(f"a peak is made by the first {needed} readings")
    whole = state.peak + moved
    if whole <= 0:
        raise _UnknownError("there is no equity that a percentage could be of")
    taken.inputs |= {"peak": plain(state.peak), "peak_at": rfc3339(state.peak_at)}
    return max(state.peak - level, Decimal(0)) * 100 / whole, "below the peak"


def _notional(guard: Guard, taken: _Inputs) -> tuple[Decimal, str]:
    """Return the sum of the notionals, or that of the symbol which has the most.

    Positions that are not known can only add to it: over its limit it is known all the same.
    """
    found: list[Position] = []
    missing = "" if taken.sample.positions else "positions are not read"
    is_by_symbol = guard.rule is Rule.MAX_POSITION_NOTIONAL
    symbols = guard.symbols if is_by_symbol else ()
    for product, read in taken.sample.positions.items():
        try:
            positions = taken.take_new(f"the positions of {product.shown}", read)
        except _UnknownError as unknown:
            missing = missing or str(unknown)
            continue
        found += [each for each in positions if not symbols or each.symbol in symbols]
    sums: dict[str, Decimal] = {}
    for position in found:
        if position.quantity and not position.notional:
            raise _UnknownError(f"the notional of {position.symbol} is not known")
        sums[position.symbol] = sums.get(position.symbol, Decimal(0)) + position.notional
    value, why = exposure_of(found), ""
    taken.inputs |= {"positions": len(found), "notional": plain(value)}
    if is_by_symbol and sums:
        symbol = max(sums, key=lambda name: sums[name])
        value, why = sums[symbol], f"of {symbol}"
        taken.inputs["symbol"] = symbol
    if missing and value <= guard.limit:
        raise _UnknownError(missing)
    return value, why


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
