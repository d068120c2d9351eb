"""User data streams tell what really happens in the account, in the venue's words."""

import pytest

from liqctl.kernel.states import Product
from liqctl.sim.events import make_event
from liqctl.sim.memory import EPOCH_MS
from liqctl.sim.orders import pick
from liqctl.sim.venue import Venue
from tests.sim.asking import SELL, ask, make_venue
from tests.sim.listening import happen, listen, names

FILL = ["TRADE_LITE", "ACCOUNT_UPDATE", "TRADE FILLED"]
SEED = """
account: {positions: {BTCUSDT: "0.5", ETHUSDT: "-2"}}
venue: {balance: "10000", coins: {BTC: "2"}}
"""
ORDERS = """
account:
  positions: {BTCUSDT: "0.5"}
  orders:
  - {symbol: BTCUSDT, side: SELL, price: "62000", quantity: "0.2", reduce_only: true}
  - {symbol: BTCUSDT, side: SELL, price: "61000", quantity: "0.2", reduce_only: true}
"""


def _ask(venue: Venue, method: str, path: str, **params: str) -> None:
    status, answer = ask(venue, method, path, now_ms=EPOCH_MS, **params)
    assert status == 200, answer


def test_a_fill_is_told_three_times() -> None:
    """Quickly, by what changed in the account, and by the order; only the leg that changed."""
    venue = make_venue(SEED)
    heard = listen(
        venue, lambda: _ask(venue, "POST", "/v1/order", **SELL, newClientOrderId="close-1")
    )

    assert names(heard) == ["NEW NEW", *FILL]
    _, lite, account, order = heard
    assert account == {
        "e": "ACCOUNT_UPDATE",
        "E": EPOCH_MS,
        "T": EPOCH_MS,
        "a": {
            "m": "ORDER",
            # 0.5 · (59994 - 58800) more than before.
            "B": [{"a": "USDT", "wb": "10597.00000000", "cw": "10597.00000000", "bc": "0"}],
            "P": [
                {
                    "s": "BTCUSDT",
                    "pa": "0.000",
                    "ep": "0",
                    "bep": "0",
                    "cr": "0",
                    "up": "0.00000000",
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                    "ma": "USDT",
                }
            ],
        },
    }
    row, number = order["o"], order["o"]["i"]
    assert order["E"] == order["T"] == EPOCH_MS
    assert pick(row, "s c S o q ap l L z n N rp R ps er") == {
        "s": "BTCUSDT",
        "c": "close-1",
        "S": "SELL",
        "o": "MARKET",
        "q": "0.500",
        "ap": "59994.00000",
        "l": "0.500",
        "L": "59994.00",
        "z": "0.500",
        "n": "14.99850000",
        "N": "USDT",
        "rp": "597.000",
        "R": True,
        "ps": "BOTH",
        "er": "0",
    }
    assert lite == {
        "e": "TRADE_LITE",
        "E": EPOCH_MS,
        "T": EPOCH_MS,
        "s": "BTCUSDT",
        "q": "0.500",
        "p": "0",
        "m": False,
        "c": "close-1",
        "S": "SELL",
        "L": "59994.00",
        "l": "0.500",
        "t": row["t"],
        "i": number,
    }


def test_placing_and_cancelling_change_no_account() -> None:
    """No position and no balance has changed."""
    venue = make_venue(SEED)

    def act() -> None:
        _ask(
            venue,
            "POST",
            "/v1/order",
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.1",
            price="59000",
            newClientOrderId="bot",
        )
        _ask(venue, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT")

    assert names(listen(venue, act)) == ["NEW NEW", "CANCELED CANCELED"]


def test_what_others_do_is_told_though_nobody_asks() -> None:
    """At the moment when it happens: a bot opens again and rests orders, a stop triggers."""
    venue = make_venue(
        """
account:
  positions: {SOLUSDT: "40"}
  algo: [{symbol: SOLUSDT, side: SELL, trigger: "140", quantity: "10", reduce_only: true}]
events:
- {act: reopen, symbol: BTCUSDT, quantity: "0.1", at_ms: 300}
- {act: place, symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1", at_ms: 400}
- {act: fill, symbol: ETHUSDT, at_ms: 500}
- {act: trigger, symbol: SOLUSDT, at_ms: 600}
"""
    )
    heard = listen(venue)

    assert names(heard) == [
        *("NEW NEW", *FILL),
        *("NEW NEW", *FILL),
        *("algo TRIGGERED", "NEW NEW", *FILL, "algo FINISHED"),
    ]
    since = [frame["E"] - EPOCH_MS for frame in heard]
    assert since == [300] * 4 + [400] + [500] * 3 + [600] * 6
    # The stop's own order, by its number.
    assert heard[-1]["o"]["ai"] == str(heard[-2]["o"]["i"])


def test_a_leg_is_told_by_its_amount_and_side() -> None:
    """In hedge mode the short leg's amount is negative, as in readings."""
    venue = make_venue("account: {mode: hedge}")
    heard = listen(
        venue,
        lambda: happen(venue, "add", symbol="BTCUSDT", position_side="SHORT", quantity="-0.2"),
    )
    (row,) = heard[2]["a"]["P"]
    assert (row["ps"], row["pa"], row["ep"]) == ("SHORT", "-0.2", "60000")


def test_conditional_orders_are_told_of() -> None:
    """Placed, cancelled, and refused when they trigger, with the reason."""
    venue = make_venue(SEED)
    stop = {"symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET", "triggerPrice": "65000"}

    def act() -> None:
        for name in ("one", "two"):
            _ask(
                venue,
                "POST",
                "/v1/algoOrder",
                **{**stop, "algoType": "CONDITIONAL", "quantity": "1", "reduceOnly": "true"},
                clientAlgoId=name,
            )
        _ask(venue, "DELETE", "/v1/algoOrder", clientAlgoId="one")
        happen(venue, "trigger", symbol="BTCUSDT")

    heard = listen(venue, act)
    assert names(heard) == [
        *("algo NEW", "algo NEW", "algo CANCELED", "algo TRIGGERED", "algo REJECTED")
    ]
    told = heard[-1]["o"]
    assert (told["caid"], told["rm"], told["R"]) == ("two", "ReduceOnly Order is rejected.", True)


def test_a_stop_goes_after_its_leg() -> None:
    """A closePosition order expires 300 ms after the leg is flat, untouched by anybody."""
    venue = make_venue(
        """
account:
  positions: {BTCUSDT: "0.5"}
  algo: [{symbol: BTCUSDT, side: SELL, trigger: "50000", close_position: true}]
"""
    )
    heard = listen(venue, lambda: happen(venue, "close", symbol="BTCUSDT"))
    assert names(heard) == ["NEW NEW", *FILL, "algo EXPIRED"]
    assert heard[-1]["E"] == EPOCH_MS + 300


def test_orders_that_only_reduce_follow_their_leg() -> None:
    """The newest first: it goes, pushed out (4), and the other shrinks."""
    venue = make_venue(ORDERS)
    heard = listen(venue, lambda: happen(venue, "add", symbol="BTCUSDT", quantity="-0.4"))

    assert names(heard[4:]) == ["AMENDMENT NEW", "EXPIRED EXPIRED"]
    assert [frame["o"]["q"] for frame in heard[4:]] == ["0.1", "0.2"]
    assert heard[-1]["o"]["er"] == "4"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"type": "MARKET"}, "9"),
        ({"type": "LIMIT", "timeInForce": "IOC", "price": "58000"}, "2"),
    ],
)
def test_what_is_not_filled_expires_with_its_reason(order: dict[str, str], reason: str) -> None:
    """A thin book is one thing, pushed out another."""
    venue = make_venue(f"{SEED}\nmarkets: {{BTCUSDT: {{depth: '0.1'}}}}")
    params = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", **order}
    heard = listen(venue, lambda: _ask(venue, "POST", "/v1/order", **params))

    assert names(heard)[-1] == "EXPIRED EXPIRED"
    assert (heard[-1]["o"]["er"], heard[-1]["o"]["z"]) == (reason, "0.1")


def test_a_liquidation_is_no_trade_of_ours() -> None:
    """The venue's own orders are calculated, and known by their names."""
    venue = make_venue(SEED)
    heard = listen(venue, lambda: happen(venue, "liquidate", symbol="BTCUSDT"))
    assert names(heard)[-1] == "CALCULATED FILLED"
    assert heard[-1]["o"]["c"].startswith("autoclose-")


def test_a_transfer_changes_a_wallet_and_no_position() -> None:
    """Deposits and withdrawals have names of their own."""
    venue = make_venue(SEED)

    def act() -> None:
        happen(venue, "transfer", amount="500")
        happen(venue, "transfer", amount="-700")

    told = [frame["a"] for frame in listen(venue, act)]
    assert [(each["m"], each["B"][0]["wb"], each["B"][0]["bc"], each["P"]) for each in told] == [
        ("DEPOSIT", "10500.00000000", "500", []),
        ("WITHDRAW", "9800.00000000", "-700", []),
    ]


def test_a_mark_price_is_not_told() -> None:
    """Unrealised profit alone moves no event: only a reading shows the loss."""
    venue = make_venue(SEED)
    assert listen(venue, lambda: happen(venue, "set_mark", symbol="BTCUSDT", price="50000")) == []


def test_a_countdown_tells_what_it_cancels() -> None:
    """The orders of everybody, at its moment."""
    venue = make_venue(ORDERS)
    heard = listen(
        venue,
        lambda: _ask(
            venue, "POST", "/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime="700"
        ),
    )
    assert names(heard) == ["CANCELED CANCELED"] * 2
    assert {frame["E"] for frame in heard} == {EPOCH_MS + 700}


@pytest.mark.parametrize("product", Product)
def test_each_product_has_a_stream_of_its_own(product: Product) -> None:
    """COIN-M has no quick note of a fill, and says whose account it is."""
    venue = make_venue(SEED)

    def act() -> None:
        happen(venue, "add", symbol="BTCUSDT", quantity="0.1")
        happen(venue, "add", symbol="BTCUSD_PERP", quantity="5")

    heard = listen(venue, act, product=product)
    if product is Product.USDM:
        assert names(heard) == ["NEW NEW", *FILL]
        assert heard[0]["o"]["s"] == "BTCUSDT"
    else:
        assert names(heard) == ["NEW NEW", "ACCOUNT_UPDATE", "TRADE FILLED"]
        assert {frame["i"] for frame in heard} == {"SgsR"}
        assert (heard[2]["o"]["s"], heard[2]["o"]["ma"]) == ("BTCUSD_PERP", "BTC")
        assert heard[1]["a"]["B"][0] == {
            "a": "BTC",
            "wb": "2.00000000",
            "cw": "2.00000000",
            "bc": "0",
        }


def test_portfolio_margin_has_one_stream_for_both_products() -> None:
    """`fs` tells them apart; conditional orders are written another way in each."""
    venue = make_venue("account: {margin: PORTFOLIO}")
    stop = {"side": "SELL", "quantity": "1", "type": "STOP_MARKET"}

    def act() -> None:
        happen(venue, "add", symbol="BTCUSDT", quantity="0.1")
        happen(venue, "add", symbol="BTCUSD_PERP", quantity="5")
        um = {**stop, "symbol": "BTCUSDT", "triggerPrice": "5", "algoType": "CONDITIONAL"}
        _ask(venue, "POST", "/papi/v1/um/algo/order", **um)
        cm = {**stop, "symbol": "BTCUSD_PERP", "stopPrice": "5", "strategyType": "STOP_MARKET"}
        _ask(venue, "POST", "/papi/v1/cm/conditional/order", **cm)
        happen(venue, "set_account_status", status="MARGIN_CALL")

    heard = listen(venue, act)
    assert [frame.get("fs") for frame in heard] == ["UM"] * 4 + ["CM"] * 3 + ["UM", "CM", None]
    assert heard[7]["ao"]["X"] == "NEW"
    assert heard[8]["e"] == "CONDITIONAL_ORDER_TRADE_UPDATE"
    assert (heard[8]["so"]["os"], heard[8]["so"]["sp"]) == ("NEW", "5")
    assert (heard[9]["e"], heard[9]["s"]) == ("riskLevelChange", "MARGIN_CALL")
    assert {"u", "eq", "ae", "m"} <= heard[9].keys()


def test_a_lie_looks_like_an_event() -> None:
    """What it tells is not so: only a reading shows it."""
    venue = make_venue(SEED)
    heard = listen(venue, lambda: happen(venue, "lie", symbol="BTCUSDT", quantity="7"))

    assert [frame["a"]["P"][0]["pa"] for frame in heard] == ["7"]
    held = venue.account.holding(("BTCUSDT", "BOTH"))
    assert held is not None
    assert str(held.amount) == "0.5"


def test_nothing_is_told_of_what_happened_before() -> None:
    """There is no snapshot and no replay."""
    venue = make_venue(SEED)
    make_event({"act": "close", "symbol": "BTCUSDT"}).act(venue)
    assert listen(venue) == []
