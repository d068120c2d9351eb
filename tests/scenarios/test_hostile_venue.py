"""Venues that are harsher than one expects, each a small case with its one truth."""

import pytest

from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, OrderState, Product
from liqctl.sim.events import make_event
from liqctl.sim.faults import make_fault
from liqctl.sim.memory import MemoryTransport
from liqctl.sim.scenario import load_scenario
from liqctl.sim.venue import Venue
from tests.scenarios.test_flat_means_flat import PAIR, STOP, fault, liquidate, venue_of
from tests.simulation import ListSink

LONG = 'account: {positions: {BTCUSDT: "0.500"}}'
LAGGING = "venue: {lag_ms: {positions: 1900, account: 1900}}"


def sent_ms(venue: Venue, method: str, path: str) -> list[int]:
    """Return when requests to a path arrived, in milliseconds since the first request."""
    return [
        row[0] - (venue.started_ms or 0)
        for row in venue.account.journal.requests
        if row[1] == method and row[2].endswith(path)
    ]


def enter(venue: Venue, **row: object) -> None:
    """Let a bot enter BTCUSDT with a stop of its own."""
    row = {"act": "enter", "symbol": "BTCUSDT", "quantity": "0.4", **row}
    venue.events.append(make_event(row))


def algo_is_open(venue: Venue) -> bool:
    """Return whether a conditional order of a bot still stands."""
    return any(each.owner == "bot" for each in venue.account.open_algo_orders())


def says_somebody_trades(result: LiquidationResult) -> bool:
    """Return whether the result tells of somebody else trading."""
    told = [result.error_message or "", *result.notes]
    return any("still trading" in text or "somebody opened" in text for text in told)


# What vanishes has to be accounted for.


def test_a_stop_that_every_second_list_shows_is_not_gone_for_the_others() -> None:
    """Two replicas answer in turn; the stop of a bot stood when the run said flat, proven."""
    venue = venue_of(f"{LONG}\nvenue: {{lag_ms: {{algo: [0, 1900]}}}}")
    enter(venue, quantity="0", at_ms=1500)

    result = liquidate(venue, timeout_seconds=10.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert not algo_is_open(venue)


def test_a_stop_that_was_there_a_moment_ago_keeps_a_short_watch_unproven() -> None:
    """Its owner may have taken it, or the list is older than the one before it."""
    venue = venue_of(LONG)
    enter(venue, quantity="0", at_ms=1500)
    venue.faults.append(fault("blip", path="/openAlgoOrders", from_ms=1900))

    result = liquidate(venue, timeout_seconds=3.0)

    assert result.state is not LiquidationState.COMPLETED
    assert "vanished without our cancel" in (result.error_message or "")


def test_a_watch_that_the_deadline_cuts_short_takes_no_stop_of_a_leg_that_vanished() -> None:
    """The leg was open all the time, behind two empty answers, and lost what protected it."""
    venue = venue_of(f"account: {{positions: {{BTCUSDT: '0.500'}}, algo: [{STOP}]}}")
    venue.faults += [
        fault("internal_error", method="POST"),
        fault("blip", path="/positionRisk", from_ms=300),
        fault("blip", path="/account", from_ms=300),
        fault("blip", path="/openAlgoOrders", from_ms=300),
    ]

    result = liquidate(venue, timeout_seconds=1.5)

    assert not venue.account.journal.cancelled_stops
    assert not sent_ms(venue, "DELETE", "/algoOpenOrders")
    assert result.state is not LiquidationState.COMPLETED


def test_both_sources_are_asked_while_a_leg_is_gone_without_a_fill_of_ours() -> None:
    """With another leg open one source was thought enough, and three empty answers of it."""
    venue = venue_of(PAIR)
    venue.faults += [
        fault("reduce_only_rejected", method="POST", until_ms=2000),
        fault("row_missing", path="/positionRisk", from_ms=400, until_ms=900),
    ]

    result = liquidate(venue, timeout_seconds=10.0, products=(Product.USDM,))

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert sent_ms(venue, "GET", "/v3/account")[0] < 1000


# Before or after our close: the venue's stamps tell.


@pytest.mark.parametrize("stop_after_ms", [-300, 0, 300])
def test_a_stop_that_is_newer_than_our_fill_is_kept_however_late_we_learn_of_the_fill(
    stop_after_ms: int,
) -> None:
    """The reply was lost and look-ups denied the order for a second; a bot entered meanwhile."""
    venue = venue_of(f"{LONG}\n{LAGGING}")
    venue.faults.append(make_fault("unknown_denied", method="POST", hide_ms=1000))
    enter(venue, at_ms=500, stop_after_ms=stop_after_ms)

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


@pytest.mark.parametrize("at_ms", [700, 1000, 1300])
def test_a_fill_beside_an_order_that_was_lost_is_not_the_end_of_the_leg(at_ms: int) -> None:
    """The lost one had closed the leg; the second closed a part of what a bot held by then."""
    venue = venue_of(
        f"{LONG}\nvenue: {{lag_ms: {{positions: 2000, account: [0, 300], algo: [0, 100]}}}}"
    )
    venue.faults.append(make_fault("denied", method="POST", hide_ms=30_000))
    enter(venue, quantity="0.9", at_ms=at_ms)

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_a_stop_from_before_our_close_goes_at_once_though_its_list_was_down() -> None:
    """It was listed for the first time after the close, and waited for a window it did not need."""
    stop = STOP.replace("close_position: true", "quantity: '0.5', reduce_only: true")
    venue = venue_of(f"account: {{positions: {{BTCUSDT: '0.500'}}, algo: [{stop}]}}")
    venue.faults.append(fault("bad_gateway_not_executed", path="/openAlgoOrders", until_ms=300))

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert [order.state for order in result.orders] == [OrderState.CANCELLED]
    assert sent_ms(venue, "DELETE", "/algoOrder")[0] < 1000


def test_a_stop_that_is_newer_than_what_is_known_of_its_leg_waits_for_the_positions() -> None:
    """It trades more than what we closed, and no more than what a bot opened since."""
    venue = venue_of(LONG)
    venue.faults.append(fault("bad_gateway_not_executed", path="/v3/positionRisk", from_ms=80))
    venue.faults.append(fault("bad_gateway_not_executed", path="/v3/account", until_ms=1000))
    enter(venue, quantity="0.9", stop="plain", at_ms=110)

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_many_stops_go_by_their_ids_where_the_position_of_their_leg_may_not_show_yet() -> None:
    """Five of them had to go, and the whole book's cancel took the stop that no list showed."""
    entries = ", ".join(
        f"{{symbol: {symbol}, side: BUY, trigger: '{price}', quantity: '1'}}"
        for symbol, price in [("BTCUSDT", 70000), ("ETHUSDT", 4000)]
        for _ in range(20)
    )
    fresh = STOP.replace("close_position: true", "close_position: true, opened_ms_ago: 200")
    venue = venue_of(
        "account: {positions: {BTCUSDT: {quantity: '0.500', opened_ms_ago: 300}}, "
        f"algo: [{entries}, {fresh}]}}\n"
        "venue: {lag_ms: {positions: 1500, account: 1500, algo: 1500}}"
    )

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_a_fill_of_what_was_read_is_not_the_whole_of_a_leg_that_grew_meanwhile() -> None:
    """The close was repeated with the old size; a stale look agreed that nothing was left."""
    venue = venue_of(
        "account: {positions: {BTCUSDT: {quantity: '0.500', opened_ms_ago: 600}}, "
        f"algo: [{STOP}]}}\nvenue: {{lag_ms: {{positions: [0, 0, 0, 1500, 1500]}}}}"
    )
    venue.faults.append(fault("internal_error", method="POST", times=1))
    row = {"act": "add", "symbol": "BTCUSDT", "quantity": "0.3", "at_ms": 150}
    venue.events.append(make_event(row))

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_a_look_that_shows_more_than_our_fill_left_outweighs_an_empty_list() -> None:
    """Somebody had added to the leg right before the start, and the look after our fill said so."""
    venue = venue_of(
        f"account: {{positions: {{BTCUSDT: '0.500'}}, algo: [{STOP}]}}\n"
        "venue: {lag_ms: {positions: [100, 0]}}"
    )
    row = {"act": "add", "symbol": "BTCUSDT", "quantity": "0.3", "at_ms": 0}
    venue.events.append(make_event(row))
    venue.faults += [
        fault("blip", path="/positionRisk", from_ms=90, until_ms=400),
        fault("blip", path="/account", from_ms=90, until_ms=400),
    ]

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_a_whole_book_of_stops_does_not_go_on_a_look_from_before_a_lost_reply_was_found() -> None:
    """A bot had entered with a stop of its own in the second that it took."""
    stops = ", ".join([STOP] * 36)
    venue = venue_of(f"account: {{positions: {{BTCUSDT: '0.500'}}, algo: [{stops}]}}")
    venue.faults.append(make_fault("denied", method="POST", hide_ms=1000))
    enter(venue, at_ms=700)

    result = liquidate(venue, timeout_seconds=10.0)

    assert not venue.account.journal.cancelled_stops
    assert venue.account.is_flat
    assert result.state is LiquidationState.COMPLETED, result.error_message


# Somebody else trades, or a list is late: not the same.


@pytest.mark.parametrize("path", ["/openAlgoOrders", "/openOrders", "/positionRisk"])
def test_a_list_that_was_down_until_now_shows_no_stranger(path: str) -> None:
    """Old orders were told as those of a program that is still trading."""
    venue = venue_of(
        'account: {positions: {BTCUSDT: "0.500", ETHUSDT: "-2.000"}, '
        f"orders: [{{symbol: BTCUSDT, side: BUY, price: '58000', quantity: '1'}}], algo: [{STOP}]}}"
    )
    venue.faults += [
        fault("service_unavailable", method="POST", until_ms=2600),
        fault("bad_gateway_not_executed", path=path, until_ms=2500),
    ]

    result = liquidate(venue, timeout_seconds=10.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert not says_somebody_trades(result)


def test_a_list_may_show_whatever_the_leg_once_held() -> None:
    """A part of it was closed and read, then the rest; an older list is no new position."""
    venue = venue_of(f"{LONG}\nvenue: {{lag_ms: {{positions: [0, 0, 0, 0, 900, 0, 900]}}}}")
    venue.faults.append(fault("thin_book", method="POST", times=1, skip=1))
    venue.events.append(
        make_event({"act": "deleverage", "symbol": "BTCUSDT", "at_ms": 30, "share": "0.2"})
    )
    sink = ListSink()

    result = liquidate(venue, sink, timeout_seconds=10.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert "REENTRY_SEEN" not in [name for name, _ in sink.events]


@pytest.mark.parametrize("slice_ms", [300, 700])
def test_no_second_close_is_sent_beside_one_that_fills_though_a_list_was_empty(
    slice_ms: int,
) -> None:
    """Shown again after the empty list, the leg was taken for one with nothing under way."""
    venue = venue_of(LONG)
    venue.faults += [
        make_fault("sliced", method="POST", slices=4, slice_ms=slice_ms),
        fault("blip", path="/positionRisk", from_ms=300, until_ms=900),
        fault("blip", path="/account", from_ms=300, until_ms=900),
    ]
    sink = ListSink()

    result = liquidate(venue, sink, timeout_seconds=10.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert [name for name, _ in sink.events].count("ORDER_SENT") == 1
    assert not says_somebody_trades(result)


# Whole books that are not cancelled.


def test_a_book_that_the_venue_never_cancels_as_a_whole_is_told() -> None:
    """Every single cancel was answered; only what no list shows could still stand there."""
    venue = venue_of(
        'account: {positions: {BTCUSDT: "0.500"}, orders: '
        "[{symbol: BTCUSDT, side: BUY, price: '58000', quantity: '1'}]}"
    )
    venue.faults.append(fault("batch_cancel_failed", method="DELETE", path="/allOpenOrders"))

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert any("BTCUSDT was refused twice" in note for note in result.notes)


def test_a_last_cancel_that_was_refused_is_sent_again() -> None:
    """The refusal passed, and an order that no list shows was there to open a position."""
    venue = venue_of(
        'account: {positions: {BTCUSDT: "0.500"}, orders: '
        "[{symbol: BTCUSDT, side: BUY, price: '58000', quantity: '1', hidden: true}]}"
    )
    venue.faults.append(
        fault("batch_cancel_failed", method="DELETE", path="/allOpenOrders", times=1)
    )

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert venue.account.is_flat
    assert not any("refused twice" in note for note in result.notes)


# The end.


def test_a_first_reading_that_outlasts_the_work_is_still_the_runs_reading() -> None:
    """It was asked for a second time, which raised, and there was no result at all."""
    venue = venue_of(LONG)
    venue.clock_skew_ms = -7000
    venue.faults.append(fault("bad_gateway_not_executed", path="/positionRisk"))

    result = liquidate(venue, transport=MemoryTransport(venue, latency_s=0.22), timeout_seconds=1.0)

    assert result.state is LiquidationState.FAILED
    assert result.duration_seconds <= 1.0


def test_nothing_is_recorded_after_the_end() -> None:
    """The last cancel of a book was still under way when the deadline came."""
    venue = venue_of(LONG)
    venue.faults += [
        fault("reduce_only_rejected", method="POST", until_ms=2000),
        make_fault("slow", method="DELETE", path="OpenOrders", times=0, delay_ms=600),
    ]
    sink = ListSink()

    liquidate(venue, sink, timeout_seconds=3.0)

    assert sink.events[-1][0].startswith("LIQUIDATION_")


def test_products_that_are_proven_in_the_last_moment_do_not_wait_for_one_another() -> None:
    """Each has to be read after the other's last answer; a reading is no answer to wait for."""
    venue = load_scenario("default").make_venue()

    result = liquidate(venue, transport=MemoryTransport(venue, latency_s=0.4), settle_seconds=2.0)

    assert result.state is LiquidationState.COMPLETED
    assert {position.product for position in result.positions} == set(Product)
    assert result.requests < 120
