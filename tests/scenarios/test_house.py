"""Both products of one account side by side: one verdict, and neither waits for the other."""

import asyncio
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pytest
from typing_extensions import override

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import EndpointSpec
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, OrderState, PositionState, Product
from liqctl.kernel.values import OrderKind
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import parse_scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink

USDM: Final = (Product.USDM,)
BOTH: Final = tuple(Product)
ACCOUNT: Final = """
account:
  positions: {BTCUSDT: "0.500", ETHUSDT: "-2.000", BTCUSD_PERP: "150", ETHUSD_PERP: "-40"}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.1"}
    - {symbol: SOLUSD_PERP, side: BUY, price: "145", quantity: "20"}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true}
    - {symbol: BTCUSD_PERP, side: SELL, trigger: "57000", close_position: true}
"""
OLDER_STOP: Final = """
account:
  positions: {ETHUSD_PERP: "-400"}
  orders:
    - {symbol: ETHUSD_PERP, side: BUY, price: "2500", quantity: "40", client_order_id: grid}
    - {symbol: ETHUSD_PERP, side: BUY, trigger: "3150", quantity: "400", reduce_only: true,
       client_order_id: older}
"""
COINM_LISTS: Final = {"dapi positionRisk", "dapi account", "dapi openOrders", "dapi openAlgoOrders"}


class Noting(MemoryTransport):
    """A transport that notes which orders left, and when USDS-M held nothing any more."""

    def __init__(self, venue: Venue) -> None:
        """Note nothing yet."""
        super().__init__(venue)
        self.sent: list[str] = []
        self.usdm_flat_at = 0.0

    @override
    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send the request and look at the account when the answer is there."""
        if spec.method == "POST":
            self.sent.append(params["symbol"])
        answer = await super().request(spec, params, timeout_s=timeout_s)
        held = [h for h in self._venue.account.holdings.values() if h.amount]
        if not self.usdm_flat_at and not any(h.symbol.endswith("USDT") for h in held):
            self.usdm_flat_at = asyncio.get_running_loop().time()
        return answer


class Run:
    """One liquidation in virtual time, and what the venue saw of it."""

    def __init__(self, text: str, transport: type[Noting] = Noting, **config: Any) -> None:
        """Prepare the venue that a scenario's text describes."""
        self.venue = parse_scenario(text, name="house").make_venue()
        self.sink = ListSink()
        self.transport = transport(self.venue)
        self._config = LiquidationConfig(**config)

    def result(self) -> LiquidationResult:
        """Liquidate; 50 ms a request."""

        async def main() -> LiquidationResult:
            manager = LiquidationManager(
                config=self._config,
                exchange=BinanceExchange(self.transport),
                audit_logger=self.sink,
                wall_clock=LoopClock(),
                rng=random.Random(1),
            )
            return await manager.execute_liquidation()

        return run_virtual(main)

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the details of the events of a type."""
        return [details for event, details in self.sink.events if event == name]


def test_both_products_of_an_account_are_closed_and_proven() -> None:
    """Without options the account is everything that the key reaches."""
    run = Run(ACCOUNT)

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    assert run.venue.account.is_flat
    assert result.products == BOTH
    assert [(p.symbol, p.product, p.state) for p in result.positions] == [
        ("BTCUSDT", Product.USDM, PositionState.CLOSED),
        ("BTCUSD_PERP", Product.COINM, PositionState.CLOSED),
        ("ETHUSDT", Product.USDM, PositionState.CLOSED),
        ("ETHUSD_PERP", Product.COINM, PositionState.CLOSED),
    ]
    assert [p.notional for p in result.positions] == [30000, 15000, 6000, 400]
    assert {(o.symbol, o.state) for o in result.orders} == {
        ("BTCUSDT", OrderState.CANCELLED),
        ("BTCUSD_PERP", OrderState.CANCELLED),
        ("SOLUSD_PERP", OrderState.CANCELLED),
    }
    assert {verified["product"] for verified in run.events("VERIFIED")} == {"USDM", "COINM"}
    assert 2.0 <= result.settled_seconds < 2.4


@pytest.mark.parametrize("kind", ["hang", "key_refused", "bad_gateway_not_executed"])
def test_a_product_that_cannot_be_read_is_unknown_and_delays_nothing(kind: str) -> None:
    """The run closes what it can, ends PARTIAL and names it."""
    fault = f"\nfaults: [{{kind: {kind}, host: dapi, times: 0}}]"
    alone, both = Run(ACCOUNT, products=USDM), Run(ACCOUNT + fault)

    alone_result, result = alone.result(), both.result()

    assert alone_result.state is LiquidationState.COMPLETED
    assert result.state is LiquidationState.PARTIAL
    assert both.transport.usdm_flat_at == alone.transport.usdm_flat_at > 0
    assert set(result.unread) >= COINM_LISTS
    assert not {name for name in result.unread if not name.startswith("dapi ")}
    assert not result.verified_flat
    assert {p.product for p in result.positions} == {Product.USDM}
    assert result.duration_seconds <= 5.1


def test_a_contract_that_only_the_account_shows_is_tried_named_and_never_flat() -> None:
    """The list of positions hides what is not trading; it may be for hours at a delivery."""
    run = Run(
        'account: {positions: {BTCUSDT: "0.500", BTCUSD_261225: "5"}}\n'
        "markets: {BTCUSD_261225: {status: CLOSE}}",
        max_retries=1,
    )

    result = run.result()

    assert result.state is LiquidationState.PARTIAL
    assert "BTCUSD_261225" in (result.error_message or "")
    states = {position.symbol: position.state for position in result.positions}
    assert states == {"BTCUSDT": PositionState.CLOSED, "BTCUSD_261225": PositionState.FAILED}
    assert [sent["symbol"] for sent in run.events("ORDER_SENT")].count("BTCUSD_261225") >= 1
    assert result.residual is not None
    assert [p.symbol for p in result.residual.positions] == ["BTCUSD_261225"]


def test_an_older_stop_among_regular_orders_stays_until_its_leg_is_flat() -> None:
    """Set before COIN-M had a book for them; the whole book's cancel would take it too early."""
    run = Run(OLDER_STOP + "faults: [{kind: slow, method: POST, path: /dapi/v1/order}]")
    grid, older = run.venue.account.orders.values()

    result = run.result()

    names = [
        (event, str(order_id))
        for event, details in run.sink.events
        for order_id in details.get("order_ids", [""])
    ]
    filled = names.index(("ORDER_PLACED", ""))
    assert result.state is LiquidationState.COMPLETED
    assert run.venue.account.is_flat
    assert names.index(("ORDER_CANCEL_SENT", str(grid.order_id))) < filled
    assert names.index(("ORDER_CANCEL_SENT", str(older.order_id))) > filled
    states = {order.client_order_id: (order.protective, order.state) for order in result.orders}
    assert states == {
        "grid": (False, OrderState.CANCELLED),
        "older": (True, OrderState.CANCELLED),
    }


@pytest.mark.parametrize(
    ("busy", "quiet", "host"),
    [("ETHUSDT", "BTCUSD_PERP", "fapi"), ("ETHUSD_PERP", "BTCUSDT", "dapi")],
)
def test_what_is_opened_in_a_proven_product_while_the_other_is_worked_on_is_closed(
    busy: str, quiet: str, host: str
) -> None:
    """The account is flat when every product is, at the same time."""
    run = Run(
        f"""
account: {{positions: {{{busy}: "2", {quiet}: "1"}}}}
faults: [{{kind: too_many_orders, method: POST, host: {host}, until_ms: 4500, times: 0}}]
events: [{{act: reopen, symbol: {quiet}, quantity: "1", at_ms: 3500}}]
""",
        timeout_seconds=15.0,
    )

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    assert run.venue.account.is_flat
    closed = [sent["symbol"] for sent in run.events("POSITION_CLOSED")]
    assert closed.count(quiet) == 2
    assert closed.count(busy) == 1


def test_the_worst_goes_first_over_both_products_when_the_order_limit_binds() -> None:
    """What a limit keeps back is the tail, whatever its product."""
    run = Run(
        """
account:
  positions: {ETHUSDT: "0.100", BTCUSDT: "0.010", ETHUSD_PERP: "45", BTCUSD_PERP: "50"}
venue: {orders_limit_10s: 2}
""",
        timeout_seconds=15.0,
    )

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    assert [position.notional for position in result.positions] == [5000, 600, 450, 300]
    worst_first = [position.symbol for position in result.positions]
    assert run.transport.sent[:4] == worst_first
    again = run.transport.sent[4:]
    assert again
    assert again == sorted(again, key=worst_first.index)


@pytest.mark.parametrize(("symbol", "other"), [("BTCUSDT", "dapi"), ("BTCUSD_PERP", "fapi")])
def test_a_symbol_narrows_the_run_to_its_product(symbol: str, other: str) -> None:
    """Nothing is asked of the other one, and what is open there does not count."""
    run = Run(ACCOUNT, symbols=(symbol,))

    result = run.result()

    signed = [path for _, _, path, _ in run.venue.account.journal.requests if "ping" not in path]
    assert result.state is LiquidationState.COMPLETED
    assert {position.symbol for position in result.positions} == {symbol}
    assert not [path for path in signed if path.startswith(f"/{other}/")]


EXECUTION: Final = """
account:
  positions: {BTCUSDT: "0.500"}
  executions: [{symbol: BTCUSDT, side: BUY, quantity: "1", slice: "0.010", every_ms: 400}]
"""


def test_an_execution_algorithm_is_cancelled_and_reported() -> None:
    """One that runs opens positions again after everything was closed."""
    run = Run(EXECUTION)

    result = run.result()

    (order,) = result.orders
    assert result.state is LiquidationState.COMPLETED
    assert run.venue.account.is_flat
    assert (order.kind, order.symbol, order.state) == (
        OrderKind.EXECUTION,
        "BTCUSDT",
        OrderState.CANCELLED,
    )
    assert result.unread == ()


def test_an_execution_algorithm_that_cannot_be_cancelled_is_never_flat() -> None:
    """Flat is what stays flat."""
    refusal = "\nfaults: [{kind: unknown_order, method: DELETE, host: sapi, times: 0}]"
    run = Run(EXECUTION + refusal, max_retries=1)

    result = run.result()

    (order,) = result.orders
    assert result.state is LiquidationState.PARTIAL
    assert (order.kind, order.state) == (OrderKind.EXECUTION, OrderState.FAILED)


@pytest.mark.parametrize("kind", ["hang", "key_refused", "bad_gateway_not_executed"])
@pytest.mark.parametrize("settle_seconds", [0.0, 2.0])
def test_a_silent_spot_host_is_named_and_nothing_waits_for_it(
    kind: str, settle_seconds: float
) -> None:
    """A run never needs it."""
    fault = f"\nfaults: [{{kind: {kind}, host: sapi, times: 0}}]"
    calm, run = (Run(text, settle_seconds=settle_seconds) for text in (ACCOUNT, ACCOUNT + fault))

    calm_result, result = calm.result(), run.result()

    assert result.state is LiquidationState.COMPLETED
    assert result.unread == ("sapi algo/futures/openOrders",)
    assert result.duration_seconds == pytest.approx(calm_result.duration_seconds, abs=0.01)
    assert run.transport.usdm_flat_at == calm.transport.usdm_flat_at


class Broken(Noting):
    """A transport with a fault of our own in COIN-M."""

    @override
    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send the request, or fail as a bug would."""
        if spec.path == "/dapi/v1/positionRisk":
            raise ZeroDivisionError
        return await super().request(spec, params, timeout_s=timeout_s)


def test_a_fault_of_ours_in_one_product_is_no_proof_of_it() -> None:
    """The other product is closed all the same, and the account is not called flat."""
    run = Run(ACCOUNT, Broken)

    with pytest.raises(ZeroDivisionError):
        run.result()

    amounts = {h.symbol: h.amount for h in run.venue.account.holdings.values() if h.amount}
    assert amounts == {"BTCUSD_PERP": Decimal(150), "ETHUSD_PERP": Decimal(-40)}
    event, details = run.sink.events[-1]
    assert (event, details["verified_flat"]) == ("LIQUIDATION_PARTIAL", False)


def test_with_orders_only_an_older_stop_outlives_the_sweep_of_its_book() -> None:
    """The last cancel of the regular book would take the protection of a leg that stays open."""
    run = Run(OLDER_STOP, close_positions=False)

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    states = {order.client_order_id: order.state for order in result.orders}
    assert states == {"grid": OrderState.CANCELLED, "older": OrderState.KEPT}
    assert [order.name for order in run.venue.account.open_orders()] == ["older"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_with_orders_only_a_book_that_may_protect_a_position_is_left_and_the_result_says_so(
    is_listed: bool,
) -> None:
    """Trailing stops are not listed on some accounts; neither is what else may stand there."""
    stop = (
        '{symbol: ETHUSD_PERP, side: BUY, trigger: "3150", quantity: "400", reduce_only: true,'
        f" client_order_id: older, hidden: {str(not is_listed).lower()}}}"
    )
    run = Run(
        f"""
account:
  positions: {{ETHUSD_PERP: "-400", ETHUSDT: "2"}}
  orders:
    - {stop}
    - {{symbol: ETHUSDT, side: BUY, price: "2500", quantity: "1", hidden: true}}
""",
        close_positions=False,
    )

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    assert [order.name for order in run.venue.account.open_orders()] == ["older"]
    (said,) = [note for note in result.notes if "no list shows" in note]
    assert "ETHUSD_PERP" in said
    assert "ETHUSDT" not in said


HIDDEN_STOP: Final = """
account:
  positions: {ETHUSD_PERP: "-400"}
  orders:
    - {symbol: ETHUSD_PERP, side: BUY, price: "2500", quantity: "40", client_order_id: grid}
    - {symbol: ETHUSD_PERP, side: BUY, trigger: "3150", quantity: "400", reduce_only: true,
       client_order_id: older, hidden: true}
"""


def test_with_orders_only_and_without_a_watch_that_book_is_left_all_the_same() -> None:
    """While a question is open the books are swept, also where one reading would be trusted."""
    symbols = ("ETHUSD_PERP", "BTCUSD_PERP")
    run = Run(HIDDEN_STOP, close_positions=False, settle_seconds=0.0, symbols=symbols)
    run.venue.add_fault("hang", path="/exchangeInfo", times=0)

    run.result()

    assert [order.name for order in run.venue.account.open_orders()] == ["older"]


def test_with_orders_only_a_stop_that_no_list_shows_outlives_many_orders() -> None:
    """They go by id, as few do: the whole book's cancel would leave the position unprotected."""
    grid = "\n".join(
        f'    - {{symbol: ETHUSD_PERP, side: BUY, price: "{2499 - number}", quantity: "1"}}'
        for number in range(150)
    )
    run = Run(f"{HIDDEN_STOP}{grid}\n", close_positions=False)

    result = run.result()

    assert result.state is LiquidationState.COMPLETED
    assert [order.name for order in run.venue.account.open_orders()] == ["older"]


@pytest.mark.parametrize("closes", [True, False])
def test_where_positions_cannot_be_read_nothing_unlisted_is_taken_from_coinms_book(
    closes: bool,
) -> None:
    """It may be the stop of a position that nobody sees, and that stays open."""
    run = Run(HIDDEN_STOP, close_positions=closes)
    for path in ("/positionRisk", "/account"):
        run.venue.add_fault("internal_error", path=path, times=0)

    result = run.result()

    assert result.state is LiquidationState.PARTIAL
    assert [order.name for order in run.venue.account.open_orders()] == ["older"]


@pytest.mark.parametrize(
    ("busy", "quiet"), [("ETHUSDT", "BTCUSD_PERP"), ("ETHUSD_PERP", "BTCUSDT")]
)
def test_the_proofs_of_both_products_are_of_the_same_moment(busy: str, quiet: str) -> None:
    """However many readings a run took: what others open after the older proof would be missed."""
    host = "fapi" if busy == "ETHUSDT" else "dapi"
    run = Run(
        f"""
account: {{positions: {{{busy}: "2", {quiet}: "1"}}}}
faults: [{{kind: reduce_only_rejected, method: POST, host: {host}, until_ms: 1500, times: 0}}]
""",
        timeout_seconds=20.0,
    )

    result = run.result()

    began = {"USDM": 0, "COINM": 0}
    for listing in run.venue.account.journal.listings:
        began[listing.product.name] = listing.at_ms
    assert result.state is LiquidationState.COMPLETED
    assert abs(began["USDM"] - began["COINM"]) <= 200
