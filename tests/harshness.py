"""What makes a simulated venue harsh, drawn from a seed: lag, lies, late orders, other traders.

Nothing is drawn that no run could get right: a list that lags by more than the run watches flat, a
last look at both sources of positions spoilt at once, a hidden order whose cancel only seems to
have been done.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from liqctl.kernel.policy import LiquidationConfig
from liqctl.sim.account import SOURCES
from liqctl.sim.events import make_event
from liqctl.sim.faults import make_fault
from liqctl.sim.orders import AlgoOrder, LegKey, Order
from liqctl.sim.venue import Venue

LATE = ("executed_late", "unknown_late", "overloaded_late")
DENIED = ("denied", "unknown_denied")
BLIPS = ("blip", "zero_amounts")
UNREADABLE = ("empty_amount", "unknown_side", "huge_number", "stranger")
ONCE_REFUSED = (
    "key_refused",
    "signature_refused",
    "not_authorised",
    "unauthorised_without_code",
    "restricted_location",
)
KINDS = frozenset(
    {
        *LATE,
        *DENIED,
        *BLIPS,
        *UNREADABLE,
        *ONCE_REFUSED[1:],
        "row_missing",
        "sliced",
        "orders_forbidden",
        "banned",
        "batch_cancel_failed",
        "retired",
    }
)
"""The kinds of fault that were not there when the first seeds were drawn."""

PATHS = {
    "positions": "/v3/positionRisk",
    "account": "/v3/account",
    "orders": "/openOrders",
    "algo": "/openAlgoOrders",
}
ROOM_S = 2.5
"""What a run needs beside the window in which flat is watched."""


@dataclass(slots=True, kw_only=True)
class Drawn:
    """What a run is told, and whether it may end without having closed everything."""

    policy: LiquidationConfig = field(default_factory=LiquidationConfig)
    troubled: bool = False


def draw(venue: Venue, seed: int) -> Drawn:
    """Make the venue harsh; what is drawn for a seed is drawn beside what was drawn before."""
    rng = random.Random(f"harsh {seed}")
    timeout_s = rng.choices([5.0, 10.0, 30.0, 3.0, 1.0], [60, 14, 10, 10, 6])[0]
    settle_s = rng.choices([2.0, 0.0, 0.5, 4.0], [82, 6, 6, 6])[0]
    policy = LiquidationConfig(timeout_seconds=timeout_s, settle_seconds=settle_s)
    drawn = Drawn(policy=policy, troubled=timeout_s < settle_s + ROOM_S)
    venue.account.lags.clear()
    if settle_s and not drawn.troubled:
        _maybe(rng, 0.5, lambda: _lag(venue, rng, round(settle_s * 1000)))
        _maybe(rng, 0.35, lambda: _open_just_before(venue, rng))
    for share, thing in THINGS:
        if rng.random() < share:
            thing(venue, rng)
            drawn.troubled |= thing in HARD
    _drop_what_nobody_could_see(venue, settle_s)
    if rng.random() < 0.15:
        drawn.policy = replace(policy, **_narrower(venue, rng))
        # A leg that only a resting order keeps from closing stays open without cancels, and one
        # that is refused once or twice without repeats, or with few.
        few = drawn.policy.max_retries == 0 or drawn.policy.retry_delay_seconds > 1
        drawn.troubled |= few or not drawn.policy.cancel_orders
    return drawn


def _narrower(venue: Venue, rng: random.Random) -> dict[str, Any]:
    """Return settings of a run that does less than everything."""
    symbols = sorted({key[0] for key in _some_legs(venue, rng)})
    choices: list[dict[str, Any]] = [
        {"close_positions": False},
        {"cancel_orders": False},
        {"symbols": tuple(symbols)},
        {"symbols": tuple(symbols), "close_positions": False},
        {"max_retries": 0},
        {"retry_delay_seconds": 2.0},
    ]
    return rng.choice(choices)


def _maybe(rng: random.Random, share: float, thing: Callable[[], None]) -> None:
    if rng.random() < share:
        thing()


def _lag(venue: Venue, rng: random.Random, most_ms: int) -> None:
    """Each list lags by itself, always, or on one of two replicas that answer as they like."""
    for source in SOURCES:
        if rng.random() < 0.4:
            continue
        lag_ms = rng.choice([100, 300, most_ms // 2, most_ms - 100, most_ms])
        pattern = rng.choice([(1,), (1,), (0, 1), (1, 0), tuple(rng.choices([0, 1], k=7))])
        venue.account.lags[source] = tuple(lag_ms * behind for behind in pattern)


def _open_just_before(venue: Venue, rng: random.Random) -> None:
    """Legs, their stops and their orders came to be right before the first request."""
    account = venue.account
    for key in _some_legs(venue, rng):
        ago_ms = rng.randint(100, 1900)
        account.fresh.append((ago_ms, account.holdings[key]))
        things: list[Order | AlgoOrder] = [*account.open_orders(), *account.open_algo_orders()]
        for thing in things:
            if (thing.symbol, thing.position_side) == key and rng.random() < 0.8:
                beside_ms = ago_ms + rng.choice([0, 0, -50, 400])
                account.fresh.append((max(beside_ms, 10), thing))


def _blip(venue: Venue, rng: random.Random) -> None:
    """A list is empty once or twice, though there is something on it."""
    source = rng.choice(SOURCES)
    is_positions = source in {"positions", "account"}
    # A thing that only the last list could show is never seen if that one is a blip.
    skips = [0, 1, 2, 3, 5] if is_positions or not venue.account.fresh else [0, 1]
    _fault(
        venue,
        rng.choice(BLIPS) if is_positions else "blip",
        method="GET",
        path=PATHS[source],
        skip=rng.choice(skips),
        times=rng.choice([1, 1, 2, 3]) if is_positions else 1,
    )


def _miss_row(venue: Venue, rng: random.Random) -> None:
    """One row of a list is missing a few times in a row, the others are there."""
    source = rng.choice(SOURCES[:2] if venue.account.fresh else SOURCES)
    _fault(
        venue,
        "row_missing",
        method="GET",
        path=PATHS[source],
        skip=rng.choice([0, 1, 2, 4, 7]),
        times=rng.choice([1, 2, 3, 5]) if source in {"positions", "account"} else 1,
    )


def _unreadable(venue: Venue, rng: random.Random) -> None:
    """A row cannot be read, a few times or for ever."""
    _fault(
        venue,
        rng.choice(UNREADABLE),
        method="GET",
        path=PATHS[rng.choice(SOURCES)],
        skip=rng.choice([0, 0, 1, 3]),
        times=rng.choice([1, 2, 4, 0]),
    )


def _execute_late(venue: Venue, rng: random.Random) -> None:
    """An order without an answer lands later, or is executed and denied for a while."""
    kind = rng.choice(LATE + DENIED)
    _fault(
        venue,
        kind,
        method="POST",
        path="/order",
        skip=rng.choice([0, 0, 1, 2]),
        times=rng.choice([1, 1, 2]),
        **{"late_ms" if kind in LATE else "hide_ms": rng.randint(300, 4000)},
    )


def _slice(venue: Venue, rng: random.Random) -> None:
    """Orders fill by and by."""
    _fault(
        venue,
        "sliced",
        method="POST",
        path="/order",
        times=rng.choice([1, 3, 0]),
        slices=rng.randint(2, 6),
        slice_ms=rng.choice([30, 150, 400, 900]),
    )


def _overload(venue: Venue, rng: random.Random) -> None:
    """The venue says that it is overloaded, and then not even what became of the order."""
    kind = rng.choice(["overloaded", "overloaded_executed"])
    _fault(venue, kind, method="POST", path="/order", times=rng.choice([1, 3, 8]))
    silent = rng.choice(["hang", "drop_before", "unknown_not_executed"])
    _fault(venue, silent, method="GET", path="/v1/order", times=rng.choice([1, 2, 4]))


def _refuse_once(venue: Venue, rng: random.Random) -> None:
    """One signed request is refused as if the key were wrong, after others have passed."""
    method, path = rng.choice([("POST", "/order"), ("DELETE", ""), ("GET", "/order"), ("GET", "")])
    # Three lists are read before anything else is asked: whatever is skipped, some have passed.
    skip = rng.choice([0, 1, 2]) if (method, path) != ("GET", "") else rng.randint(5, 9)
    _fault(venue, rng.choice(ONCE_REFUSED), method=method, path=path, skip=skip)


def _forbid(venue: Venue, rng: random.Random) -> None:
    """No order is taken for a while."""
    kind = rng.choice(["orders_forbidden", "cooling_off", "overloaded", "matching_recv_window"])
    until_ms = rng.choice([300, 1500, 4000])
    _fault(venue, kind, method="POST", path="/order", times=0, until_ms=until_ms)


def _refuse_connections(venue: Venue, rng: random.Random) -> None:
    """Nobody listens for a while."""
    from_ms = rng.choice([50, 150, 500])
    until_ms = from_ms + rng.choice([500, 1500, 3000])
    _fault(venue, "refused_connection", times=0, from_ms=from_ms, until_ms=until_ms)


def _reject_reducing(venue: Venue, rng: random.Random) -> None:
    """Orders that only reduce are rejected for longer than usual."""
    times = rng.choice([2, 3, 6, 12])
    _fault(venue, "reduce_only_rejected", method="POST", path="/order", times=times)


def _cancel_without_effect(venue: Venue, rng: random.Random) -> None:
    """Whole-symbol cancels are refused, or answered and not done; single ones work."""
    _fault(
        venue,
        rng.choice(["cancel_not_done", "cancel_not_done", "batch_cancel_failed", "unknown_order"]),
        method="DELETE",
        path=rng.choice(["/allOpenOrders", "/algoOpenOrders"]),
        symbol=rng.choice(["", rng.choice(_legs(venue))[0]]),
        times=rng.choice([1, 2, 0]),
    )


def _coarsen_market_steps(venue: Venue, rng: random.Random) -> None:
    """Market orders have another step than the rest."""
    for key in _some_legs(venue, rng):
        step = Decimal(rng.choice(["0.01", "0.1"]))
        if not is_contract(key[0]):
            venue.account.market(key[0]).market_step_size = step


def _lower_market_max(venue: Venue, rng: random.Random) -> None:
    """Market orders are smaller than the positions, and the rules perhaps not to be had."""
    for key in _some_legs(venue, rng):
        most = Decimal(rng.choice(["0.5", "1.5"]))
        venue.account.market(key[0]).market_quantity_max = most * (
            1000 if is_contract(key[0]) else 1
        )
    if rng.random() < 0.4:
        kind = rng.choice(["hang", "bad_gateway_not_executed"])
        _fault(venue, kind, method="GET", path="/exchangeInfo", times=rng.choice([1, 2, 0]))


def _move_marks(venue: Venue, rng: random.Random) -> None:
    """The book is thin and the price moves while an order is on its way."""
    for key in _some_legs(venue, rng):
        market = venue.account.market(key[0])
        market.spread_bps, market.take_bound = Decimal(420), Decimal("0.02")
        row = {"act": "move_mark", "symbol": key[0], "bps": rng.choice([-60, 60])}
        for number in range(rng.choice([1, 2, 4])):
            venue.events.append(make_event({**row, "on_path": "/v1/order", "at_ms": number * 50}))


def _raise_limits(venue: Venue, rng: random.Random) -> None:
    """The account may do more than most."""
    venue.weights.limit = 6000
    venue.orders_limit_10s, venue.orders_limit_1m = 3000, rng.choice([5000, 15_000])


def _lower_limits(venue: Venue, rng: random.Random) -> None:
    """The account may do less than most, and others have used part of it."""
    venue.weights.limit = rng.choice([1200, 2400])
    venue.weights.others = rng.choice([0, 600])
    venue.orders_limit_10s, venue.orders_limit_1m = rng.choice([(5, 100), (50, 200)])


def _hide_entry(venue: Venue, rng: random.Random) -> None:
    """An order that no list shows waits to open a position, and perhaps does."""
    key = rng.choice(_legs(venue))
    account, market = venue.account, venue.account.market(key[0])
    buys = key[1] == "LONG" or (key[1] == "BOTH" and rng.random() < 0.5)
    order = Order(
        order_id=account.next_id(),
        client_order_id="hidden-entry",
        symbol=key[0],
        side="BUY" if buys else "SELL",
        position_side=key[1],
        type="LIMIT",
        quantity=Decimal(traded(key[0], "0.7")),
        price=market.mark_price * (Decimal("0.97") if buys else Decimal("1.03")),
        owner="bot",
        hidden=True,
    )
    account.orders[order.order_id] = order
    if rng.random() < 0.5:
        row = {"act": "fill", "symbol": key[0], "at_ms": rng.randint(100, 5000)}
        venue.events.append(make_event(row))


def _crowd(venue: Venue, rng: random.Random) -> None:
    """A leg has more stops than anybody cancels one by one."""
    account, key = venue.account, rng.choice(_legs(venue))
    held = account.holdings[key].amount
    for number in range(rng.choice([20, 36])):
        whole = rng.random() < 0.5
        algo = AlgoOrder(
            algo_id=account.next_id(),
            client_algo_id=f"crowd-{number}",
            symbol=key[0],
            side="SELL" if held > 0 else "BUY",
            position_side=key[1],
            type="STOP_MARKET",
            trigger_price=account.market(key[0]).mark_price * Decimal("0.8" if held > 0 else "1.2"),
            quantity=None if whole else abs(held),
            close_position=whole,
            time_ms=1_700_000_000_000,
            owner="bot",
        )
        account.algo_orders[algo.algo_id] = algo


def is_contract(symbol: str) -> bool:
    """Return whether the symbol is one of COIN-M, which trades whole contracts."""
    return symbol.endswith("USD_PERP")


def traded(symbol: str, quantity: str) -> str:
    """Return a quantity as somebody trades it: of contracts ten times as many, and whole."""
    return f"{Decimal(quantity) * 10:.0f}" if is_contract(symbol) else quantity


def _enter(venue: Venue, rng: random.Random) -> None:
    """A bot enters anew, with a stop of its own, before or after the position."""
    for key in _some_legs(venue, rng):
        row: dict[str, Any] = {
            "act": "enter",
            "symbol": key[0],
            "position_side": key[1],
            "quantity": traded(
                key[0],
                "-0.9" if key[1] == "SHORT" else rng.choice(["0.4", "1", "-1"][: _sides(key)]),
            ),
            "stop": rng.choice(["close_position", "close_position", "reduce_only", "plain"]),
            "stop_after_ms": rng.choice([0, 0, 1, 100, 800, -1, -100, -1000, -3000]),
        }
        when: dict[str, Any] = rng.choice(
            [
                {"at_ms": rng.randint(0, 5000)},
                {"at_ms": rng.randint(0, 5000)},
                {"on_path": "/v3/account", "at_ms": rng.choice([0, 1500])},
                {"on_path": "/openAlgoOrders", "at_ms": rng.choice([100, 1900])},
                {"on_path": "/algoOpenOrders"},
                {"on_request": rng.randint(4, 40)},
                {"at_ms": rng.randint(0, 2000), "every_ms": 700, "times": rng.choice([2, 5])},
            ]
        )
        venue.events.append(make_event(row | when))


THINGS = (
    (0.25, _enter),
    (0.15, _blip),
    (0.08, _unreadable),
    (0.15, _execute_late),
    (0.10, _slice),
    (0.06, _overload),
    (0.15, _refuse_once),
    (0.06, _forbid),
    (0.04, _refuse_connections),
    (0.05, _reject_reducing),
    (0.10, _cancel_without_effect),
    (0.06, _coarsen_market_steps),
    (0.06, _lower_market_max),
    (0.05, _move_marks),
    (0.08, _raise_limits),
    (0.06, _lower_limits),
    (0.08, _hide_entry),
    (0.08, _miss_row),
    (0.04, _crowd),
)
"""What is drawn, and how often."""

HARD = frozenset({_move_marks, _lower_limits, _lower_market_max})
"""What may keep a run from ending flat before its deadline, though no request was hit."""


def _fault(venue: Venue, kind: str, **settings: Any) -> None:
    venue.faults.append(make_fault(kind, **settings))


def _legs(venue: Venue) -> list[LegKey]:
    return sorted(venue.account.holdings)


def _some_legs(venue: Venue, rng: random.Random) -> list[LegKey]:
    legs = _legs(venue)
    return sorted(rng.sample(legs, rng.randint(1, min(2, len(legs)))))


def _sides(key: LegKey) -> int:
    """Return how many of the drawn quantities fit: a long leg holds nothing below zero."""
    return 3 if key[1] == "BOTH" else 2


def _drop_what_nobody_could_see(venue: Venue, settle_s: float) -> None:
    """Drop the faults that make a venue impossible together with the rest of what was drawn."""
    orders = venue.account.orders
    if not settle_s:  # One reading is trusted then, whatever it shows, and no book is swept.
        wrong = {*BLIPS, "row_missing"}
        venue.faults = [fault for fault in venue.faults if fault.name not in wrong]
        for order_id in [order_id for order_id, order in orders.items() if order.hidden]:
            del orders[order_id]
    if any(order.hidden for order in orders.values()):
        seems_done = {"cancel_not_done", "unknown_order"}
        venue.faults = [fault for fault in venue.faults if fault.name not in seems_done]
