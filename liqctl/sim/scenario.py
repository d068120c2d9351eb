"""Scenarios: an account, what goes wrong with it, and how a run should end, in YAML.

    name: lost_reply
    account:
      mode: one_way            # or hedge
      positions: {BTCUSDT: "0.500", ETHUSDT: "-2"}          # hedge: {BTCUSDT LONG: "1"}
      orders: [{symbol: BTCUSDT, side: SELL, price: "70000", quantity: "0.1"}]
      algo: [{symbol: BTCUSDT, side: SELL, trigger: "50000", close_position: true}]
    markets: {BTCUSDT: {status: SETTLING, depth: "0.2"}}
    faults: [{kind: drop_after, method: POST, path: /order, times: 1}]
    events: [{act: reopen, symbol: BTCUSDT, quantity: "0.1", at_ms: 300, every_ms: 200, times: 50}]
    venue: {clock_skew_ms: 5000, lag_ms: {positions: 1500, account: [0, 2000], orders: 300}}
    expect: {exit: 0, state: COMPLETED, left: [], says: "", within_s: 2.0, arguments: []}

A position may be `{quantity: "0.5", opened_ms_ago: 1500}`, and orders of both kinds may have
`opened_ms_ago`: they came to be so long before the first request. `lag_ms` says by how much each
list lags, several numbers those of replicas that answer in turn; `position_lag_ms` and
`order_lag_ms` are short for two lists at once. A `hidden` order is in no list.

`account: {large: {symbols: 200, orders: 3, algo: 1}}` stands for a generated account.

Files are looked for beside the installed package, then in `configs/scenarios`.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.errors import ConfigurationError
from liqctl.sim.account import SOURCES, Account
from liqctl.sim.events import make_event
from liqctl.sim.faults import make_fault
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Holding, Order
from liqctl.sim.refusal import Refused
from liqctl.sim.venue import Venue

_PLACES: Final = (
    Path(__file__).parent.parent / "_scenarios",
    Path(__file__).parent.parent.parent / "configs" / "scenarios",
)
_FILE_MAX_BYTES: Final = 65_536
_NEAREST_MAX: Final = 3
_ALIKE: Final = 0.4

PRICES: Final[Mapping[str, str]] = {
    "BTCUSDT": "60000",
    "ETHUSDT": "3000",
    "SOLUSDT": "150",
    "XRPUSDT": "0.5",
    "BNBUSDT": "500",
    "DOGEUSDT": "0.1",
}
"""Mark prices of the symbols that exist without being declared."""

_ACCOUNT_KEYS: Final = {
    "lag_ms",
    "position_lag_ms",
    "order_lag_ms",
    "conflict_code",
    "balance",
    "fee_asset",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How a run against the scenario should end.

    Attributes:
        exits, states: the acceptable exit codes and states.
        left: patterns of what is really open at the end: legs as `BTCUSDT` or `BTCUSDT LONG`,
            orders by their client order id. Each names at least one, and nothing else is left.
        says: words that the error message or the notes must hold.
        within_s: how long the run may take until flat is seen for good, or to its end where it
            never is; 0 for the deadline alone.
        arguments: more arguments for `liqctl liquidate`.
    """

    exits: tuple[int, ...] = (0,)
    states: tuple[str, ...] = ("COMPLETED",)
    left: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    within_s: float = 0.0
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; `make_venue` gives a fresh venue each time."""

    name: str
    description: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)
    markets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    venue: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: int = 0
    expect: Expectation = Expectation()

    def make_venue(self, *, api_key: str = "", api_secret: str = "") -> Venue:
        """Return the venue at its beginning."""
        account = self._make_account()
        settings = {k: v for k, v in self.venue.items() if k not in _ACCOUNT_KEYS}
        return Venue(
            account=account,
            api_key=api_key,
            api_secret=api_secret,
            faults=[make_fault(**fault) for fault in self.faults],
            events=[make_event(event) for event in self.events],
            **settings,
        )

    def _make_account(self) -> Account:
        account = Account(
            markets={},
            hedge=self.account.get("mode") == "hedge",
            lags=_lags(self.venue),
            **{
                name: _value(value)
                for name, value in self.venue.items()
                if name in _ACCOUNT_KEYS and not name.endswith("lag_ms")
            },
        )
        positions = self.account.get("positions", {})
        orders = self.account.get("orders", [])
        algo = self.account.get("algo", [])
        names = [str(key).split(" ")[0] for key in positions]
        names += [row["symbol"] for row in (*orders, *algo)]
        names += [event["symbol"] for event in self.events if "symbol" in event]
        for symbol in dict.fromkeys([*PRICES, *names, *self.markets]):
            account.markets[symbol] = make_market(symbol, self.markets.get(symbol, {}))
        for key, held in positions.items():
            _hold(account, str(key), held if isinstance(held, Mapping) else {"quantity": held})
        for number, row in enumerate(orders, start=1):
            _rest_order(account, row, number)
        for number, row in enumerate(algo, start=1):
            _rest_algo(account, row, number)
        return account


def make_market(symbol: str, changes: Mapping[str, Any]) -> Market:
    """Return a market with the symbol's usual price and some settings changed."""
    price = Decimal(str(changes.get("mark_price", PRICES.get(symbol, "10"))))
    tick = Decimal("0.10") if price >= 1000 else Decimal("0.0001")  # noqa: PLR2004
    base = symbol.split("_", maxsplit=1)[0].removesuffix("USDT") or symbol
    settings: dict[str, Any] = {"tick_size": tick, "notional_min": Decimal(5)}
    settings |= {name: _value(value) for name, value in changes.items()}
    settings["mark_price"] = price
    return Market(symbol=symbol, base_asset=base, **settings)


def _lags(venue: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return by how much each list lags."""
    positions, orders = venue.get("position_lag_ms", 0), venue.get("order_lag_ms", 0)
    usual = {"positions": positions, "account": positions, "orders": orders, "algo": orders}
    given = dict(venue.get("lag_ms") or {})
    unknown = set(given) - set(SOURCES)
    if unknown:
        raise ValueError(f"no list is called {', '.join(sorted(unknown))}")
    lags = {name: tuple(map(int, _listed(value))) for name, value in (usual | given).items()}
    return {name: values for name, values in lags.items() if any(values)}


def _hold(account: Account, key: str, row: Mapping[str, Any]) -> None:
    symbol, _, side = key.partition(" ")
    position_side = side or "BOTH"
    held = Holding(
        symbol=symbol,
        position_side=position_side,
        amount=Decimal(str(row["quantity"])),
        entry_price=account.markets[symbol].mark_price * Decimal("0.98"),
        update_ms=1_700_000_000_000,
    )
    account.holdings[symbol, position_side] = held
    _date(account, held, row)


def _date(account: Account, thing: Holding | Order | AlgoOrder, row: Mapping[str, Any]) -> None:
    """Let the thing have come to be only just, if the row says so."""
    if "opened_ms_ago" in row:
        account.fresh.append((int(row["opened_ms_ago"]), thing))


def _rest_order(account: Account, row: Mapping[str, Any], number: int) -> None:
    order = Order(
        order_id=account.next_id(),
        client_order_id=str(row.get("client_order_id", f"bot-{number}")),
        symbol=row["symbol"],
        side=row["side"],
        position_side=row.get("position_side", "BOTH"),
        type="LIMIT",
        quantity=Decimal(str(row["quantity"])),
        price=Decimal(str(row["price"])),
        reduce_only=bool(row.get("reduce_only", False)),
        time_ms=1_700_000_000_000,
        update_ms=1_700_000_000_000,
        owner="bot",
        hidden=bool(row.get("hidden", False)),
    )
    account.orders[order.order_id] = order
    _date(account, order, row)


def _rest_algo(account: Account, row: Mapping[str, Any], number: int) -> None:
    quantity = row.get("quantity")
    algo = AlgoOrder(
        algo_id=account.next_id(),
        client_algo_id=str(row.get("client_algo_id", f"stop-{number}")),
        symbol=row["symbol"],
        side=row["side"],
        position_side=row.get("position_side", "BOTH"),
        type=row.get("type", "STOP_MARKET"),
        trigger_price=Decimal(str(row["trigger"])),
        quantity=None if quantity is None else Decimal(str(quantity)),
        time_in_force=row.get("time_in_force", "GTC"),
        reduce_only=bool(row.get("reduce_only", False)),
        close_position=bool(row.get("close_position", False)),
        time_ms=1_700_000_000_000,
        update_ms=1_700_000_000_000,
        owner="bot",
    )
    account.algo_orders[algo.algo_id] = algo
    _date(account, algo, row)


def make_large_account(
    *, symbols: int, orders: int = 3, algo: int = 2, hedge: bool = False, seed: int = 1
) -> Scenario:
    """Return an account with a position on each symbol, resting orders and protective stops."""
    rng = random.Random(seed)
    positions: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    stops: list[dict[str, Any]] = []
    markets: dict[str, dict[str, Any]] = {}
    for number in range(symbols):
        symbol = f"C{number:03d}USDT"
        markets[symbol] = {"mark_price": "100"}
        long = rng.random() < 0.5  # noqa: PLR2004 - a coin
        side = ("LONG" if long else "SHORT") if hedge else "BOTH"
        amount = Decimal(rng.randint(1, 5000)) / 1000
        name = symbol if side == "BOTH" else f"{symbol} {side}"
        positions[name] = str(amount if long else -amount)
        rows += [
            {
                "symbol": symbol,
                "side": "BUY" if step % 2 else "SELL",
                "price": "96" if step % 2 else "104",
                "quantity": "0.5",
                "position_side": side,
                "client_order_id": f"bot-{number}-{step}",
            }
            for step in range(orders)
        ]
        stops += [
            {
                "symbol": symbol,
                "side": "SELL" if long else "BUY",
                "trigger": "90" if long else "110",
                "quantity": str(amount),
                "reduce_only": step == 0 and not hedge,
                "position_side": side,
                "client_algo_id": f"stop-{number}-{step}",
            }
            for step in range(algo)
        ]
    return Scenario(
        name=f"large-{symbols}",
        account={
            "mode": "hedge" if hedge else "one_way",
            "positions": positions,
            "orders": rows,
            "algo": stops,
        },
        markets=markets,
    )


def list_scenarios() -> dict[str, Path]:
    """Return the scenario files by name."""
    for place in _PLACES:
        if place.is_dir():
            return {path.stem: path for path in sorted(place.glob("*.yaml"))}
    return {}


def load_scenario(name: str) -> Scenario:
    """Return a scenario by its name or the path of its file.

    Raises:
        ConfigurationError: there is none, or its file cannot be understood.
    """
    path = list_scenarios().get(name, Path(name))
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except OSError:
        text = None
    if text is None or len(text) > _FILE_MAX_BYTES:
        raise ConfigurationError(_no_scenario(name))
    return parse_scenario(text, name=path.stem)


def _no_scenario(name: str) -> str:
    """Return that there is none of that name, and which one may have been meant."""
    from difflib import get_close_matches

    near = get_close_matches(name, list_scenarios(), n=_NEAREST_MAX, cutoff=_ALIKE)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    return f"there is no scenario {name!r}{nearest}; `liqctl simulator list` shows all"


def parse_scenario(text: str, *, name: str) -> Scenario:
    """Return the scenario that a YAML text describes.

    Raises:
        ConfigurationError: the text is not a scenario.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
        rows = dict(document)
        expect = rows.pop("expect", {})
        rows.setdefault("name", name)
        unknown = set(rows) - {each.name for each in fields(Scenario)}
        if unknown:
            raise ConfigurationError(f"scenario {name}: unknown keys {', '.join(sorted(unknown))}")
        large = dict(rows.get("account") or {}).get("large")
        if large is not None:
            generated = make_large_account(**large)
            rows |= {"account": generated.account, "markets": generated.markets}
        rows |= {name: tuple(rows.get(name) or ()) for name in ("faults", "events")}
        scenario = Scenario(**rows, expect=_expectation(expect))
        scenario.make_venue()
    except (yaml.YAMLError, TypeError, ValueError, KeyError, ArithmeticError, Refused) as error:
        raise ConfigurationError(f"scenario {name} cannot be read: {error}") from error
    return scenario


def _expectation(expect: Mapping[str, Any]) -> Expectation:
    return Expectation(
        exits=tuple(_listed(expect.get("exit", 0))),
        states=tuple(_listed(expect.get("state", "COMPLETED"))),
        left=tuple(_listed(expect.get("left", []))),
        says=tuple(str(each) for each in _listed(expect.get("says", []))),
        within_s=float(expect.get("within_s", 0.0)),
        arguments=tuple(str(each) for each in _listed(expect.get("arguments", []))),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(value: Any) -> Any:
    """Return numbers written as text as Decimals; everything else as it is."""
    if isinstance(value, str) and value.replace(".", "", 1).replace("-", "", 1).isdigit():
        return Decimal(value)
    return value
