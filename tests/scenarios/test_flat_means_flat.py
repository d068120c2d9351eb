"""Flat is watched, what is known to be open is closed, and one leg's trouble is its own."""

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from typing_extensions import override

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import Endpoint, EndpointSpec
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import ExitCode, LiquidationState, OrderState, PositionState, Product
from liqctl.run.manager import LiquidationManager
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import make_large_account, parse_scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink


class Broken(MemoryTransport):
    """A transport with a fault of our own for one symbol's orders."""

    @override
    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send the request, or fail as a bug would."""
        if spec == Endpoint.SUBMIT_ORDER.value and params["symbol"] == "ETHUSDT":
            message = "a secret of ours"
            raise ZeroDivisionError(message)
        return await super().request(spec, params, timeout_s=timeout_s)


def venue_of(text: str) -> Venue:
    """Return the venue that a scenario's text describes."""
    return parse_scenario(text, name="flat").make_venue()


def liquidate(
    venue: Venue,
    sink: ListSink | None = None,
    *,
    transport: MemoryTransport | None = None,
    **config: Any,
) -> LiquidationResult:
    """Liquidate a venue with 50 ms a request, in virtual time."""

    async def main() -> LiquidationResult:
        manager = LiquidationManager(
            config=LiquidationConfig(**config),
            exchange=BinanceExchange(transport or MemoryTransport(venue)),
            audit_logger=sink or ListSink(),
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        return await manager.execute_liquidation()

    return run_virtual(main)


def fault(kind: str, **conditions: Any) -> Fault:
    """Return a fault that hits every request that the conditions name."""
    return Fault(name=kind, effect=KINDS[kind], **{"times": 0, **conditions})


PAIR = 'account: {positions: {BTCUSDT: "0.500", ETHUSDT: "-2.000"}}'
STOP = "{symbol: BTCUSDT, side: SELL, trigger: '57000', close_position: true}"


def test_flat_is_watched_for_as_long_as_asked_and_by_both_sources() -> None:
    """One reading proves nothing: positions may show up two seconds after they were opened."""
    sink = ListSink()

    result = liquidate(venue_of(PAIR), sink)

    assert result.state is LiquidationState.COMPLETED
    assert 2.0 <= result.settled_seconds < 2.4
    flat_seen = [details["product"] for name, details in sink.events if name == "FLAT_SEEN"]
    assert sorted(flat_seen) == ["COINM", "USDM"]
    sources = {
        details["product"]: details["sources"]
        for name, details in sink.events
        if name == "VERIFIED"
    }
    assert sources == {
        "USDM": ["account", "positionRisk"],
        "COINM": ["dapi account", "dapi positionRisk"],
    }
    assert result.unread == ()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/fapi/v3/account", "account"),
        ("/fapi/v3/positionRisk", "positionRisk"),
        ("/dapi/v1/account", "dapi account"),
        ("/dapi/v1/positionRisk", "dapi positionRisk"),
    ],
)
def test_a_silent_source_of_positions_is_named_and_the_other_one_is_asked_more_often(
    path: str, name: str
) -> None:
    """One source alone has to show nothing three times over the window."""
    venue = venue_of(PAIR)
    venue.faults.append(fault("bad_gateway_not_executed", path=path))

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED
    assert result.unread == (name,)


def test_a_shorter_deadline_shortens_the_watch_and_says_so() -> None:
    """What the deadline leaves is used, and told."""
    result = liquidate(venue_of(PAIR), timeout_seconds=1.0)

    assert result.state is LiquidationState.COMPLETED
    assert 0.3 < result.settled_seconds < 1.0


def test_settle_zero_trusts_one_reading() -> None:
    """Who asks for it gets the first edition's proof, at once."""
    result = liquidate(venue_of(PAIR), settle_seconds=0.0)

    assert result.state is LiquidationState.COMPLETED
    assert result.settled_seconds == 0.0
    assert result.duration_seconds < 0.5


def test_both_books_of_each_touched_symbol_are_swept_before_the_last_reading() -> None:
    """An order that no list ever shows must not survive the proof."""
    venue = venue_of(PAIR)

    liquidate(venue)

    requests = [(row[1], row[2]) for row in venue.account.journal.requests]
    last_sweep = max(
        i for i, row in enumerate(requests) if row[1].endswith("OpenOrders") and row[0] == "DELETE"
    )
    sweeps = [row for row in requests if row[0] == "DELETE"]
    assert sweeps.count(("DELETE", "/fapi/v1/allOpenOrders")) == 2
    assert sweeps.count(("DELETE", "/fapi/v1/algoOpenOrders")) == 2
    after = {path.rpartition("/")[2] for _, path in requests[last_sweep + 1 :]}
    assert after == {"positionRisk", "account", "openOrders", "openAlgoOrders"}


def test_a_stop_on_a_leg_that_reads_flat_waits_for_the_window_and_then_goes() -> None:
    """It may belong to a position that no list shows yet; a leftover goes two seconds later."""
    venue = venue_of(f"account: {{algo: [{STOP}]}}")

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED
    assert [order.state for order in result.orders] == [OrderState.CANCELLED]
    cancelled_ms = next(
        row[0] for row in venue.account.journal.requests if row[2].endswith("/algoOrder")
    )
    assert not venue.account.journal.cancelled_stops, "it protected nothing"
    assert cancelled_ms - (venue.started_ms or 0) >= 2000


def test_orders_only_keeps_a_stop_whose_position_was_opened_a_moment_ago() -> None:
    """The stop was younger than the list of positions, and was cancelled from under it."""
    venue = venue_of(
        "account: {positions: {BTCUSDT: {quantity: '1.000', opened_ms_ago: 300}}, "
        f"algo: [{STOP}]}}\nvenue: {{lag_ms: {{positions: 1500, account: 1500}}}}"
    )

    result = liquidate(venue, close_positions=False)

    assert result.state is LiquidationState.COMPLETED
    assert [order.state for order in result.orders] == [OrderState.KEPT]
    assert len(venue.account.open_algo_orders()) == 1


def test_a_leg_that_vanishes_without_our_fill_just_before_the_end_is_not_called_closed() -> None:
    """A stale replica answered last; what was open a moment ago is not gone for an empty list."""
    venue = venue_of('account: {positions: {BTCUSDT: "0.500"}}')
    venue.faults += [
        fault("reduce_only_rejected", method="POST"),
        fault("blip", path="/positionRisk", from_ms=1200),
        fault("blip", path="/account", from_ms=1200),
    ]

    result = liquidate(venue, timeout_seconds=2.0)

    assert result.state is not LiquidationState.COMPLETED
    assert "was open a moment ago" in (result.error_message or "")


# One leg's trouble is its own.


def test_a_fault_of_our_own_ends_one_leg_and_is_told_without_its_words() -> None:
    """The others are closed; an exception's own text may hold anything."""
    venue = venue_of(PAIR)
    sink = ListSink()

    result = liquidate(venue, sink, transport=Broken(venue))

    states = {position.symbol: position.state for position in result.positions}
    assert states == {"BTCUSDT": PositionState.CLOSED, "ETHUSDT": PositionState.FAILED}
    assert result.state is LiquidationState.PARTIAL
    assert "ZeroDivisionError" in (result.error_message or "")
    assert "secret" not in str(result.as_json()) + str(sink.events)


@pytest.mark.parametrize(
    "kind",
    [
        "key_refused",
        "signature_refused",
        "not_authorised",
        "unauthorised_without_code",
        "restricted_location",
    ],
)
@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_one_refusal_of_the_key_after_a_success_stops_nothing(kind: str, method: str) -> None:
    """-2015 was seen passing, with a good key, right after successes."""
    venue = make_large_account(symbols=7, orders=1, algo=1).make_venue()
    venue.faults.append(fault(kind, method=method, times=1, skip=2))

    result = liquidate(venue, timeout_seconds=30.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert result.positions_closed == 7


def test_a_key_that_is_refused_for_everything_ends_at_once_and_says_what_was_not_read() -> None:
    """Exit 7; the positions are unread, not absent."""
    venue = venue_of(PAIR)
    venue.faults.append(fault("key_refused"))

    result = liquidate(venue, timeout_seconds=30.0)

    assert result.exit_code() is ExitCode.CREDENTIALS
    assert result.duration_seconds < 1.0
    assert result.residual is None
    assert "positions" in (result.error_message or "")
    assert "portfolio margin" in (result.error_message or "")


def test_parts_of_one_leg_do_not_share_their_repeats() -> None:
    """Five parts refused once each left 480 of 600 BTC open."""
    venue = venue_of('account: {positions: {BTCUSDT: "600"}}')
    venue.faults.append(fault("internal_error", method="POST", times=5, skip=1))

    result = liquidate(venue, timeout_seconds=30.0)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert result.duration_seconds - result.settled_seconds < 4.0


@pytest.mark.parametrize("path", ["/positionRisk", "/openOrders", "/openAlgoOrders"])
def test_a_narrowed_run_has_every_second_way(path: str) -> None:
    """With --symbol, positionRisk down meant that nothing was closed."""
    venue = venue_of(PAIR)
    venue.faults.append(fault("bad_gateway_not_executed", path=path, symbol="BTCUSDT"))

    result = liquidate(venue, symbols=("BTCUSDT",))

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert not venue.account.holdings["BTCUSDT", "BOTH"].amount
    assert venue.account.holdings["ETHUSDT", "BOTH"].amount


# What was proven not executed is tried until the deadline.


@pytest.mark.parametrize("timeout_s", [12.0, 30.0])
@pytest.mark.parametrize(
    "kind", ["service_unavailable", "refused_connection", "matching_recv_window"]
)
def test_it_is_closed_as_soon_with_a_long_deadline_as_with_a_short_one(
    kind: str, timeout_s: float
) -> None:
    """Eight seconds of refusals used up the repeats, and a longer deadline waited longer."""
    venue = venue_of(PAIR)
    venue.faults.append(fault(kind, method="POST", until_ms=8000))

    result = liquidate(venue, timeout_seconds=timeout_s, products=(Product.USDM,))

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert result.duration_seconds - result.settled_seconds < 9.6


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_repeat_of_what_was_not_executed_is_not_bounded_by_max_retries(method: str) -> None:
    """`max_retries: 0` forbids repeats of what the venue refused for a reason of its own."""
    venue = make_large_account(symbols=1, orders=1, algo=1).make_venue()
    venue.faults.append(fault("service_unavailable", method=method, times=3))

    assert liquidate(venue, max_retries=0, timeout_seconds=10.0).state is (
        LiquidationState.COMPLETED
    )


def test_an_overload_whose_look_up_is_silent_is_unknown_and_not_absent() -> None:
    """Sending again beside an order that may be filling is what rule 4 forbids."""
    venue = venue_of('account: {positions: {BTCUSDT: "0.500"}}')
    venue.faults += [
        fault("overloaded_executed", method="POST", times=1),
        fault("hang", method="GET", path="/v1/order", times=2),
    ]
    sink = ListSink()

    result = liquidate(venue, sink, timeout_seconds=10.0)

    assert result.state is LiquidationState.COMPLETED
    assert [name for name, _ in sink.events].count("ORDER_SENT") == 1


# Questions with three ends.


def test_a_question_about_a_symbol_holds_no_close_back() -> None:
    """It takes megabytes to answer; a scoped run waited for it before its first order."""
    venue = venue_of(PAIR)
    venue.faults.append(fault("hang", path="/exchangeInfo"))

    result = liquidate(venue, symbols=("BTCUSDT", "SOLUSDT"))

    sent_ms = next(row[0] for row in venue.account.journal.requests if row[1] == "POST")
    assert sent_ms - (venue.started_ms or 0) < 300
    assert result.state is LiquidationState.PARTIAL
    assert "SOLUSDT" in (result.error_message or "")


def test_a_mistyped_symbol_is_not_called_flat_where_nobody_knows_it() -> None:
    """With exchangeInfo down BTCUSTD ended COMPLETED."""
    venue = venue_of(PAIR)
    venue.faults.append(fault("bad_gateway_not_executed", path="/exchangeInfo"))

    result = liquidate(venue, symbols=("BTCUSTD",))

    assert result.state is LiquidationState.FAILED
    assert "BTCUSTD" in (result.error_message or "")


@pytest.mark.parametrize("symbols", [(), ("BTCUSDT",)])
def test_an_account_whose_kind_nobody_answered_is_not_flat(symbols: tuple[str, ...]) -> None:
    """In portfolio margin this API shows nothing at all; one lost answer meant "no"."""
    venue = venue_of("account: {}")
    venue.faults.append(fault("bad_gateway_not_executed", path="/papi/v1/rateLimit/order"))

    result = liquidate(venue, symbols=symbols)

    assert result.state is LiquidationState.FAILED
    assert "portfolio margin" in (result.error_message or "")


# Cancels.


@pytest.mark.parametrize("kind", ["batch_cancel_failed", "cancel_not_done"])
def test_a_whole_books_cancel_that_does_nothing_is_followed_by_single_ones(kind: str) -> None:
    """Cancel-all was refused, or answered and without effect, while single cancels worked."""
    venue = make_large_account(symbols=2, orders=3, algo=1).make_venue()
    venue.faults.append(fault(kind, method="DELETE", path="/allOpenOrders"))

    result = liquidate(venue)

    assert not venue.account.open_orders()
    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert result.orders_cancelled == 8


def test_a_plain_stop_larger_than_its_leg_goes_at_once_and_the_result_says_why() -> None:
    """It would close the leg and open the rest the other way."""
    venue = venue_of(
        'account: {positions: {BTCUSDT: "0.500"}, algo: [{symbol: BTCUSDT, side: SELL, '
        'trigger: "57000", quantity: "0.900"}]}'
    )

    result = liquidate(venue)

    assert result.state is LiquidationState.COMPLETED
    assert [order.state for order in result.orders] == [OrderState.CANCELLED]
    assert any("more than its position held" in note for note in result.notes)
    assert not Decimal(sum(h.amount for h in venue.account.holdings.values()))
