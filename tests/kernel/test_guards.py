"""Guards: what they measure, what they do not believe, and when they trip."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.guards import (
    GuardLevel,
    GuardState,
    Read,
    Sample,
    Standing,
    explain_standing,
    explain_trip,
    judge,
    restored_state,
    state_as_json,
    transfers_since,
    trip_details,
    wants_transfers,
)
from liqctl.kernel.policy import Guard, Rule
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import CoinPrice, Equity, Pool, Position, PositionSide, Rows, Transfer
from tests.kernel.builders import position

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NIGHT = datetime(2026, 1, 2, 23, 59, tzinfo=UTC)
LOSS = Guard(rule=Rule.MAX_LOSS, limit=Decimal(100))
DRAWDOWN = Guard(rule=Rule.MAX_DRAWDOWN, limit=Decimal(10))
RATIO = Guard(rule=Rule.MIN_MARGIN_RATIO, limit=Decimal("1.5"))
NOTIONAL = Guard(rule=Rule.MAX_NOTIONAL, limit=Decimal(1000))
NOTHING_MOVED: Rows[Transfer] = Rows()
ODD: Rows[Transfer] = Rows(unreadable=("'FEE' of 'USDT'",))
ORDERS = Guard(rule=Rule.MAX_ORDERS_PER_MINUTE, limit=Decimal(60))


def of_equity(amount: object, maintenance: object = "0") -> Equity:
    """Return the equity of a USDS-M account."""
    pools = (
        Pool(asset="USD", balance=Decimal(str(amount)), maintenance=Decimal(str(maintenance))),
    )
    return Equity(pools=pools)


class Watched:
    """An account that is read every ten seconds, with everything that was moved so far."""

    def __init__(self, *guards: Guard, noon: datetime = NOON) -> None:
        """Read nothing yet."""
        self.guards = guards
        self.started = noon
        self.at = 1000.0
        self.moved: list[Transfer] = []
        self.state = GuardState(account="a")
        self.standings: tuple[Standing, ...] = ()

    @property
    def now(self) -> datetime:
        """The moment by the venue's clock."""
        return self.started + timedelta(seconds=self.at - 1000.0)

    def move(self, amount: object, asset: str = "USDT") -> None:
        """Have money moved in a second ago, or out."""
        at_ms = int((self.now - timedelta(seconds=1)).timestamp() * 1000)
        self.moved.append(Transfer(asset=asset, amount=Decimal(str(amount)), at_ms=at_ms))

    def sample(self, total: object, /, **others: object) -> Sample:
        """Return what one reading shows; None is an equity that could not be read."""
        found = total if isinstance(total, Equity) else of_equity(total or 0)
        sample = Sample(
            at=self.at,
            now=self.now,
            equity={Product.USDM: None if total is None else Read(value=found, at=self.at)},
            transfers={Product.USDM: Read(value=Rows(items=(*self.moved,)), at=self.at)},
        )
        return replace(sample, **others)  # type: ignore[arg-type]

    def feed(self, sample: Sample) -> Standing:
        """Take a sample; return where the first guard stands."""
        self.state, self.standings = judge(self.guards, self.state, sample)
        return self.standings[0]

    def see(self, *equities: object, gap_s: float = 10.0, **others: object) -> Standing:
        """Take one sample for each equity, each so much later; return the last standing."""
        for equity in equities:
            self.feed(self.sample(equity, **others))
            self.at += gap_s
        return self.standings[0]


@pytest.mark.parametrize("guard", [LOSS, DRAWDOWN])
def test_a_loss_trips_when_three_readings_agree(guard: Guard) -> None:
    """And not before: the first of them may be a spike."""
    account = Watched(guard)
    account.see(1000, 1000, 1000)

    readings = [account.see(899) for _ in range(4)]

    assert [each.agreeing for each in readings] == [1, 2, 3, 4]
    assert [each.trips for each in readings] == [False, False, True, True]
    assert {each.level for each in readings} == {GuardLevel.OVER}
    assert readings[0].since == readings[3].since == account.now - timedelta(seconds=40)


@pytest.mark.parametrize("guard", [LOSS, DRAWDOWN])
def test_the_limit_itself_is_allowed(guard: Guard) -> None:
    """A limit of 100 lets 100 be lost."""
    account = Watched(guard)
    account.see(1000, 1000, 1000)

    standing = account.see(900, 900, 900)

    assert (standing.level, standing.used, standing.trips) == (GuardLevel.NEAR, Decimal(1), False)
    assert account.see(921).level is GuardLevel.GREEN
    assert account.see(920).level is GuardLevel.NEAR


@pytest.mark.parametrize("spike", [0, -5, 100_000])
def test_a_spike_trips_nothing(spike: int) -> None:
    """Neither one down, nor what comes after one up; others' switches closed healthy accounts."""
    for at in range(6):
        path = [1000] * 6
        path[at] = spike
        account = Watched(LOSS, DRAWDOWN)

        for equity in [*path, 1000, 1000, 1000, 1000]:
            account.see(equity)
            assert not any(each.trips for each in account.standings)
        assert {each.level for each in account.standings} == {GuardLevel.GREEN}


def test_one_reading_seen_often_counts_once() -> None:
    """The same answer, or one of the same second, shows the same wrong price."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)

    assert account.see(*[800] * 9, gap_s=0.1).agreeing == 1
    account.at += 1.0
    old = account.sample(800)
    for later_s in range(20):
        account.feed(replace(old, at=old.at + later_s, now=old.now))
    standing = account.standings[0]
    assert (standing.agreeing, standing.level) == (2, GuardLevel.OVER)


def test_a_reading_inside_the_limit_begins_anew() -> None:
    """So many in a row have to agree."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)

    standing = account.see(800, 800, 950, 800, 800)

    assert (standing.agreeing, standing.trips) == (2, False)


def test_what_is_not_known_neither_trips_nor_passes() -> None:
    """Nor does it take away what was seen: a venue in trouble answers every other time."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)

    unknown = account.see(800, 800, None)

    assert (unknown.level, unknown.value, unknown.used) == (GuardLevel.UNKNOWN, None, None)
    assert not unknown.trips
    assert explain_standing(unknown) == (
        "max_loss 100: unknown, because the equity of USDS-M could not be read"
    )
    assert account.see(800).trips


def test_agreement_does_not_outlast_a_long_silence() -> None:
    """What was over two minutes ago says nothing of now."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000, 800, 800)
    account.at += 111.0

    assert account.see(800).agreeing == 1


def test_what_is_stale_is_unknown() -> None:
    """Green by an old reading would be trusted; over by an old one would close the account."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000, 800, 800, 800)
    old = account.sample(800)

    fresh = account.feed(replace(old, at=old.at + 30.0))
    stale = account.feed(replace(old, at=old.at + 30.1))

    assert fresh.trips
    assert (stale.level, stale.trips) == (GuardLevel.UNKNOWN, False)
    assert "was last read 30 s ago" in stale.why


@pytest.mark.parametrize(("amount", "equity"), [(-400, 600), (5000, 6000)])
def test_a_transfer_is_neither_loss_nor_gain(amount: int, equity: int) -> None:
    """Money that was moved out was not lost; what was moved in makes up for no loss."""
    account = Watched(LOSS, DRAWDOWN)
    account.see(1000, 1000, 1000)
    account.move(amount)

    account.see(equity, equity, equity)

    assert [each.value for each in account.standings] == [0, 0]
    assert account.see(equity - 101, equity - 101, equity - 101).trips
    assert account.standings[0].value == 101


def test_transfers_of_another_time_are_not_counted() -> None:
    """What was moved before the first reading is in it, and what came after this one is not."""
    account = Watched(LOSS, DRAWDOWN)
    account.at -= 100.0
    account.move(-5000)
    account.at += 100.0
    account.see(1000, 1000, 1000)
    sample = account.sample(1000)
    account.at += 60.0
    account.move(700)
    transfers = {Product.USDM: Read(value=Rows(items=(*account.moved,)), at=sample.at)}

    assert account.feed(replace(sample, transfers=transfers)).value == 0
    account.see(1650)
    assert [each.value for each in account.standings] == [50, Decimal(5000) / 1700]


def test_a_drawdown_is_of_what_is_there_now() -> None:
    """500 of 10,000 is 5 per cent, also where 9,000 of it were moved in later."""
    account = Watched(DRAWDOWN)
    account.see(1000, 1000, 1000)
    account.move(9000)

    account.see(10_000, 10_000, 10_000)

    assert account.see(9500).value == Decimal(5)
    account.move(-9400)
    assert account.see(100).value == Decimal(500) * 100 / 600


def test_nothing_left_is_no_percentage() -> None:
    """A rule of per cent without anything to divide by stays off."""
    account = Watched(DRAWDOWN)
    account.see(1000, 1000, 1000)
    account.move(-1000)

    assert account.see(0, 0, 0).level is GuardLevel.UNKNOWN


def test_a_loss_counts_only_with_the_transfers_that_belong_to_it() -> None:
    """A withdrawal is in the equity before it is in the list that was read a minute ago."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)
    transfers = {Product.USDM: Read(value=NOTHING_MOVED, at=account.at - 5)}

    withdrawn = account.see(500, 500, 500, 500, transfers=transfers)

    assert (withdrawn.level, withdrawn.agreeing, withdrawn.trips) == (GuardLevel.OVER, 0, False)
    assert wants_transfers(account.standings)
    account.move(-500)
    assert account.see(500).level is GuardLevel.GREEN
    assert not wants_transfers(account.standings)


def test_between_the_first_and_the_last_reading_older_transfers_do() -> None:
    """They cost three times as much as the rest; the last reading sees what was moved since."""
    guard = replace(LOSS, readings=5)
    account, moved = Watched(guard), Watched(guard)
    for each in (account, moved):
        each.see(1000, 1000, 1000)
        each.see(500)
        older = {Product.USDM: Read(value=NOTHING_MOVED, at=each.at - 5)}
        assert each.see(500, 500, 500, transfers=older).agreeing == 4
        assert not wants_transfers(each.standings)
        last = each.see(500, transfers=older)
        assert (last.agreeing, last.trips, last.lacks) == (4, False, True)
        assert wants_transfers(each.standings)

    moved.move(-500)

    assert account.see(500).trips
    assert moved.see(500).level is GuardLevel.GREEN


def test_a_deposit_that_is_not_seen_yet_makes_no_peak() -> None:
    """Seen later, it would have been a drawdown."""
    account = Watched(DRAWDOWN)
    account.see(1000, 1000, 1000)
    transfers = {Product.USDM: Read(value=NOTHING_MOVED, at=account.at - 5)}
    account.see(5000, 5000, 5000, 5000, transfers=transfers)
    account.move(4000)

    assert account.see(5000, 5000, 5000).value == 0


@pytest.mark.parametrize(
    "read",
    [
        None,
        Read(value=ODD, at=5000.0),
        Read(value=NOTHING_MOVED, at=1000.0),
    ],
    ids=["none", "unreadable", "old"],
)
def test_without_transfers_no_loss_is_known(read: Read[Rows[Transfer]] | None) -> None:
    """Nor is any gain."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)
    account.at = 1190.0

    standing = account.see(1000, transfers={Product.USDM: read})

    assert standing.level is GuardLevel.UNKNOWN
    assert "transfers" in standing.why


def test_too_few_readings_measure_nothing() -> None:
    """The first of them may be the wrong one."""
    account = Watched(LOSS, DRAWDOWN)

    assert account.see(1000, 10).level is GuardLevel.UNKNOWN
    assert {each.level for each in account.standings} == {GuardLevel.UNKNOWN}
    account.see(1000)
    assert {each.level for each in account.standings} == {GuardLevel.GREEN}


def test_a_new_day_begins_with_what_there_was_at_midnight() -> None:
    """The loss of yesterday is yesterday's; the peak stays."""
    account = Watched(LOSS, DRAWDOWN, noon=NIGHT)
    account.see(1000, 1000, 1000, 950, 950, 950)  # up to 23:59:50

    first = account.see(945)

    assert account.now.hour == 0
    assert (first.value, first.why) == (Decimal(5), "since 00:00 UTC")
    assert account.standings[1].value == Decimal("5.5")
    assert account.state.day == account.now.date()
    assert account.state.began == NIGHT + timedelta(seconds=50)


def test_transfers_of_the_old_day_stay_counted_in_the_peak() -> None:
    """They are no longer listed, for the list begins at midnight."""
    account = Watched(LOSS, DRAWDOWN, noon=NIGHT)
    account.see(1000, 1000, 1000)
    account.move(500)
    account.see(1450, 1450, 1450, 1450)
    assert {each.equity for each in account.state.recent} == {1450}
    account.moved = [
        row for row in account.moved if row.at_ms >= transfers_since(account.state, account.now)
    ]
    assert account.moved == []

    account.move(-250)
    account.see(1200, 1200, 1200)

    assert [each.value for each in account.standings] == [0, 4]
    account.see(1075)
    assert [each.value for each in account.standings] == [125, 14]


def test_a_day_that_began_unseen_is_measured_from_its_first_readings() -> None:
    """And says so. What was lost in the gap is still below the peak."""
    account = Watched(LOSS, DRAWDOWN, noon=NIGHT)
    account.see(1000, 1000, 1000)
    account.at += 3600.0

    assert account.see(800).level is GuardLevel.UNKNOWN
    account.see(800, 800)

    loss, drawdown = account.standings
    assert (loss.value, loss.why) == (Decimal(0), "since 00:59 UTC")
    assert (drawdown.value, drawdown.level) == (Decimal(20), GuardLevel.OVER)


def test_after_midnight_yesterdays_anchor_is_no_longer_used() -> None:
    """Not even until the new day's transfers are read."""
    account = Watched(LOSS, noon=NIGHT)
    account.see(1000, 1000, 1000, 950, 950, 950)
    transfers = {Product.USDM: Read(value=NOTHING_MOVED, at=account.at - 5)}

    assert account.see(890, transfers=transfers).level is GuardLevel.UNKNOWN
    assert wants_transfers(account.standings)


def test_a_restart_goes_on_with_the_same_day() -> None:
    """What was lost before it counts, and what was moved while it was down does not."""
    before = Watched(LOSS, DRAWDOWN)
    before.see(1000, 1000, 1000, 960)
    kept = state_as_json(before.state)

    after = Watched(LOSS, DRAWDOWN, noon=NOON + timedelta(hours=5))
    after.state = restored_state(kept, account="a", now=after.now)
    assert after.state.note is None
    after.move(-200)
    readings = [after.see(690) for _ in range(3)]

    assert [each.value for each in readings] == [110, 110, 110]
    assert [each.trips for each in readings] == [False, False, True]
    assert after.standings[1].value == Decimal(110) * 100 / 800


@pytest.mark.parametrize(
    ("text", "account", "hours", "note"),
    [
        (None, "a", 0, None),
        ("{", "a", 0, "cannot be read"),
        ("[]", "a", 0, "cannot be read"),
        ("{}", "a", 0, "cannot be read"),
        ('{"schema": "liqctl.guards/2"}', "a", 0, "cannot be read"),
        ("KEPT", "b", 0, "of another account"),
        ("KEPT", "a", 12, "of 2026-01-02; loss and peak are measured anew"),
        ("KEPT", "a", -13, "of 2026-01-02; loss and peak are measured anew"),
        ("NAIVE", "a", 0, "cannot be read"),
        ("NUMBER", "a", 0, "cannot be read"),
    ],
)
def test_a_state_that_is_not_this_days_begins_anew(
    text: str | None, account: str, hours: int, note: str | None
) -> None:
    """And says why: a loss since then may be missed."""
    before = Watched(LOSS)
    before.see(1000, 1000, 1000)
    kept = state_as_json(before.state)
    texts = {
        "KEPT": kept,
        "NAIVE": kept.replace("12:00:00.000000Z", "12:00:00.000000"),
        "NUMBER": kept.replace('"peak":"1000"', '"peak":"NaN"'),
    }

    state = restored_state(
        texts.get(text, text) if text else None,
        account=account,
        now=NOON + timedelta(hours=hours),
    )

    assert state == GuardState(account=account, note=state.note)
    assert (note is None) is (state.note is None)
    assert (note or "") in (state.note or "")


def test_another_scope_is_measured_anew() -> None:
    """COIN-M beside USDS-M is more money, not a profit."""
    account = Watched(LOSS, DRAWDOWN)
    account.see(1000, 1000, 1000)
    both = {
        Product.USDM: Read(value=of_equity(500), at=account.at),
        Product.COINM: Read(value=of_equity(100), at=account.at),
    }

    account.see(0, equity=both)

    assert account.state.note == (
        "the equity is of USDM+COINM now, and was of USDM: it is measured anew"
    )
    assert {each.level for each in account.standings} == {GuardLevel.UNKNOWN}


def test_coins_are_worth_their_index_price() -> None:
    """Half a coin at 50,000 and a thousand dollars."""
    account = Watched(LOSS)
    coin = Equity(pools=(Pool(asset="BTC", balance=Decimal("0.5"), maintenance=Decimal(0)),))

    def see(index: int, mark: int | None = None) -> Standing:
        price = CoinPrice(Decimal(mark or index), Decimal(index))
        return account.see(
            0,
            equity={
                Product.USDM: Read(value=of_equity(1000), at=account.at),
                Product.COINM: Read(value=coin, at=account.at),
            },
            prices=Read(value={"BTC": price}, at=account.at),
        )

    for _ in range(3):
        see(50_000)

    assert see(49_900).value == 50
    assert see(49_900, mark=45_000).level is GuardLevel.UNKNOWN
    missing = account.see(0, equity={Product.COINM: Read(value=coin, at=account.at)})
    assert missing.why == "the coins' prices could not be read"
    account.move("0.25", "BTC")
    assert see(50_000).value == 12_500


def test_the_worst_pool_counts_for_the_margin_ratio() -> None:
    """Each coin of COIN-M is liquidated for its own positions."""
    account = Watched(RATIO)
    pools = (
        Pool(asset="BTC", balance=Decimal(3), maintenance=Decimal(1)),
        Pool(asset="ETH", balance=Decimal("2.8"), maintenance=Decimal(2)),
        Pool(asset="XRP", balance=Decimal(-1), maintenance=Decimal(0)),
    )
    equity = {
        Product.USDM: Read(value=of_equity(100, 50), at=account.at),
        Product.COINM: Read(value=Equity(pools=pools), at=account.at),
    }

    standing = account.see(0, equity=equity)

    assert (standing.value, standing.level) == (Decimal("1.4"), GuardLevel.OVER)
    assert explain_standing(standing) == (
        "min_margin_ratio 1.5: over, 1.40 in COIN-M ETH, in 1 of 3 readings"
    )
    assert account.see(of_equity(150, 100)).level is GuardLevel.NEAR
    assert account.see(of_equity(300, 100)).used == Decimal("0.5")


def test_without_maintenance_margin_the_ratio_is_green() -> None:
    """Nothing is open: that is known."""
    standing = Watched(RATIO).see(100)

    assert (standing.level, standing.value, standing.used) == (GuardLevel.GREEN, None, Decimal(0))
    assert explain_standing(standing) == "min_margin_ratio 1.5: green, nothing to measure"


def test_portfolio_margin_is_judged_by_its_own_ratio() -> None:
    """Its maintenance margin stands against an equity with haircuts, which uniMMR counts."""
    account = Watched(RATIO, LOSS)
    pools = (Pool(asset="USD", balance=Decimal(1000), maintenance=Decimal(900)),)
    equity = Equity(pools=pools, margin=Margin.PORTFOLIO, uni_mmr=Decimal("1.6"))

    def read(found: Equity) -> dict[Product, Read[Equity]]:
        return {Product.USDM: Read(value=found, at=account.at)}

    for _ in range(3):
        account.see(0, equity=read(equity), transfers={})
    standing = account.standings[0]
    assert (standing.value, standing.why) == (Decimal("1.6"), "uniMMR")
    assert account.standings[1].level is GuardLevel.GREEN
    assert account.state.basis == "PORTFOLIO"
    unknown = account.see(0, equity=read(equity._replace(uni_mmr=None)), transfers={})
    assert unknown.level is GuardLevel.UNKNOWN


def held(*positions: Position, at: float) -> dict[Product, Read[tuple[Position, ...]] | None]:
    """Return a reading of positions."""
    return {Product.USDM: Read(value=positions, at=at)}


def test_both_legs_of_a_hedge_count() -> None:
    """They are closed one after the other, and each has its own margin."""
    most = Guard(rule=Rule.MAX_POSITION_NOTIONAL, limit=Decimal(1000))
    named = replace(most, symbols=("ETHUSDT",))
    account = Watched(NOTIONAL, most, named)
    legs = (
        position("1", side=PositionSide.LONG, notional="600"),
        position("-1", side=PositionSide.SHORT, notional="500"),
        position("1", symbol="ETHUSDT", notional="300"),
    )

    account.see(0, positions=held(*legs, at=account.at))

    assert [each.value for each in account.standings] == [1400, 1100, 300]
    assert account.standings[1].why == "of BTCUSDT"
    assert [each.level.value for each in account.standings] == ["over", "over", "green"]


def test_a_position_without_a_notional_makes_the_sum_unknown() -> None:
    """It may be the largest; a guard of another symbol knows enough."""
    other = Guard(rule=Rule.MAX_POSITION_NOTIONAL, limit=Decimal(1), symbols=("ETHUSDT",))
    account = Watched(NOTIONAL, other)

    standing = account.see(0, positions=held(position("1", notional="0"), at=account.at))

    assert (standing.level, standing.why) == (
        GuardLevel.UNKNOWN,
        "the notional of BTCUSDT is not known",
    )
    assert account.standings[1].level is GuardLevel.GREEN
    assert account.see(0, positions={Product.USDM: None}).level is GuardLevel.UNKNOWN
    assert account.see(0).why == "positions are not read"


def test_orders_are_counted_as_the_venue_does() -> None:
    """Not seen is not none."""
    account = Watched(ORDERS)

    readings = [account.see(0, orders_1m=Read(value=61, at=account.at)) for _ in range(3)]

    assert [each.trips for each in readings] == [False, False, True]
    assert account.see(0).level is GuardLevel.UNKNOWN


def test_a_guard_waits_for_as_many_readings_as_it_asks_for() -> None:
    """Two are the least that settings allow."""
    account = Watched(replace(ORDERS, readings=2), replace(ORDERS, readings=4))

    tripped = []
    for _ in range(4):
        account.see(0, orders_1m=Read(value=61, at=account.at))
        tripped.append([each.trips for each in account.standings])

    assert tripped == [[False, False], [True, False], [True, False], [True, True]]


def test_a_limit_of_nothing_allows_nothing() -> None:
    """What is open trips; a ratio never does."""
    account = Watched(replace(NOTIONAL, limit=Decimal(0)), replace(RATIO, limit=Decimal(0)))

    account.see(of_equity(1, 100), positions=held(at=account.at))
    assert [each.level for each in account.standings] == [GuardLevel.GREEN, GuardLevel.GREEN]
    account.see(of_equity(1, 100), positions=held(position("1", notional="1"), at=account.at))
    assert [each.level for each in account.standings] == [GuardLevel.OVER, GuardLevel.GREEN]


def test_a_trip_records_what_did_it() -> None:
    """Afterwards nobody can read it again."""
    account = Watched(LOSS)
    account.see(1000, 1000, 1000)
    account.move(-50)
    account.see(800, 800)
    sample = account.sample(800)
    tripped = account.feed(replace(sample, at=sample.at + 2, now=sample.now + timedelta(seconds=2)))

    assert trip_details(tripped) == {
        "rule": "max_loss",
        "limit": "100",
        "value": "150.0000",
        "readings": 3,
        "inputs": {
            "equity_usdm": "800",
            "equity": "800",
            "net_transfers": "-50",
            "transfers_since": "2026-01-02T12:00:00.000000Z",
            "anchor": "1000",
            "anchor_at": "2026-01-02T12:00:00.000000Z",
        },
        "ages_s": {"the equity of USDS-M": 2.0, "the transfers of USDS-M": 2.0},
    }
    assert explain_trip(tripped) == (
        "guard max_loss 100 tripped: 150.00 since 12:00 UTC, in 3 readings"
    )


_AMOUNTS = st.integers(min_value=-2000, max_value=3000)
_PATH = st.lists(
    st.tuples(
        st.one_of(st.none(), _AMOUNTS),
        st.sampled_from([0.0, 0.2, 1.0, 10.0, 31.0, 121.0]),
        st.sampled_from([0.0, 29.0, 30.5]),
    ),
    max_size=30,
)


@given(path=_PATH, readings=st.integers(min_value=2, max_value=5))
def test_nothing_trips_by_what_is_unknown_stale_or_seen_once(
    path: Sequence[tuple[int | None, float, float]], readings: int
) -> None:
    """On any path of values, gaps and ages."""
    guards = [replace(each, readings=readings) for each in (LOSS, DRAWDOWN, RATIO)]
    account = Watched(*guards)
    over: dict[Guard, list[float]] = {guard: [] for guard in guards}

    for equity, gap_s, age_s in path:
        sample = account.sample(None if equity is None else of_equity(equity, 1000))
        aged = replace(sample, at=sample.at + age_s, now=sample.now + timedelta(seconds=age_s))
        account.feed(aged)
        for each in account.standings:
            is_unread = equity is None or age_s > 30
            assert (each.level is GuardLevel.UNKNOWN) or not is_unread
            assert (each.value is None) is (each.level is GuardLevel.UNKNOWN)
            seen = over[each.guard]
            if each.level is GuardLevel.OVER:
                seen += [sample.at] if not seen or sample.at - seen[-1] >= 1.0 else []
            elif each.level is not GuardLevel.UNKNOWN:
                seen.clear()
            assert each.agreeing <= len(seen)
            assert not each.trips or (
                each.level is GuardLevel.OVER and len(seen) >= each.guard.readings
            )
        account.at = aged.at + gap_s


@given(
    before=_PATH,
    readings=st.integers(min_value=2, max_value=20),
    gap_s=st.floats(min_value=1.0, max_value=60.0),
    lost=st.integers(min_value=101, max_value=10_000),
)
def test_readings_that_agree_always_trip(
    before: Sequence[tuple[int | None, float, float]], readings: int, gap_s: float, lost: int
) -> None:
    """Whatever came before them, and however much was moved meanwhile."""
    account = Watched(replace(LOSS, readings=readings), replace(RATIO, readings=readings))
    account.see(1000, 1000, 1000)
    for equity, wait_s, _ in before:
        account.see(equity, gap_s=wait_s)
    assert account.state.anchor == 1000

    account.at += 1.0
    for number in range(readings):
        account.move(number)
        moved = sum(row.amount for row in account.moved)
        account.see(of_equity(1000 - lost + moved, 1_000_000), gap_s=gap_s)

    assert [each.trips for each in account.standings] == [True, True]
