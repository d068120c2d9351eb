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

`account: {large: {symbols: 200, coinm: 20, orders: 3, algo: 1}}` stands for a generated account.

COIN-M contracts stand beside the others under their own names: `BTCUSD_PERP`, `BTCUSD_261225`. A
row of `orders` with a `trigger` is a conditional order from before COIN-M had a book for them.
`products: [USDM]` leaves out the positions and orders of the other product. `margin: PORTFOLIO` is
an account in portfolio margin, beside its futures `margin_orders: [{symbol: …, side: …}]` and
`margin_assets: {BTC: {free: 1, borrowed: 0.5, interest: 0.1, negative: -3}}`. Execution algorithms:
`executions: [{symbol: BTCUSDT, side: BUY, quantity: "1", slice: "0.01", every_ms: 500}]`.

`venue: {balance: "10000", coins: {BTC: "2"}}` is what the wallets hold, of coins no others then;
where nothing is said, as good as endless.

Faults of streams are `{kind: stream_cut, event: ORDER_TRADE_UPDATE, skip: 3}` and so on; what
happens to them at once are events: `{act: cut_streams, at_ms: 500}`.

A house is several accounts behind one address:

    accounts:
      desk-a: {account: {…}, faults: […], events: […], venue: {…}, expect: {…}}
      desk-b: {key_of: desk-a}   # one more key of the same account
    uncovered: [desk-a]          # their keys are given to nobody
    master: false                # there is no key that reads the others' positions

`markets`, `latency_ms` and of `venue` the clock and the request weight are the whole house's;
`account`, `faults` and `events` beside `accounts` are the master's own. Its file is `house_*.yaml`.

Files are looked for beside the installed package, then in `configs/scenarios`.
"""

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.errors import ConfigurationError
from liqctl.kernel.policy import product_of
from liqctl.kernel.states import Margin, Product
from liqctl.sim.account import SOURCES, Account
from liqctl.sim.address import MASTER, Address, alias_of, email_of, key_of, secret_of
from liqctl.sim.events import make_event, trade_slice
from liqctl.sim.hosts import Weights
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Execution, Holding, Order, Refused
from liqctl.sim.routes import ROUTES
from liqctl.sim.venue import Venue, WorldEvent

_PLACES: Final = (
    Path(__file__).parent.parent / "_scenarios",
    Path(__file__).parent.parent.parent / "configs" / "scenarios",
)
# Fifty times the longest scenario.
_FILE_MAX_BYTES: Final = 65_536
_NEAREST_MAX: Final = 3
_ALIKE: Final = 0.4
_LONG_AGO_MS: Final = 1_700_000_000_000
"""When what a scenario does not date came to be."""

PRICES: Final[Mapping[str, str]] = {
    "BTCUSDT": "60000",
    "ETHUSDT": "3000",
    "SOLUSDT": "150",
    "XRPUSDT": "0.5",
    "BNBUSDT": "500",
    "DOGEUSDT": "0.1",
}
"""Mark prices of the symbols that exist without being declared."""

_COINM: Final = ("BTCUSD_PERP", "BTCUSD_261225", "ETHUSD_PERP", "SOLUSD_PERP")
"""The COIN-M contracts that exist without being declared, at the same prices."""

# Dollars of a COIN-M contract: Bitcoin's, and every other coin's.
_CONTRACT_SIZE_BTC: Final = 100
_CONTRACT_SIZE: Final = 10
# Binance's algorithms trade about once a minute (assumed).
_SLICE_MS: Final = 60_000
_DELIVERY_HOUR: Final = 8
"""Of a dated contract, in UTC on the day that its name tells."""

_ACCOUNT_KEYS: Final = frozenset(
    {
        *("conflict_code", "balance", "fee_asset", "older_stops", "status"),
        *("countdowns_work", "countdown_takes_algos"),
    }
)
_HOUSE: Final = "house_"
"""How the file of several accounts begins: the catalogue need not read it to know."""

_ACCOUNT_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_WEIGHT_KEYS: Final = {"weight_limit": "limit", "other_weight": "others"}
_SHARED_KEYS: Final = frozenset({*_WEIGHT_KEYS, "clock_skew_ms"})
_NOBODY: Final = "nobody"
"""A key that nobody can send: keys have 16 characters at least."""

_SEEDS: Final = frozenset(
    {
        *("mode", "margin", "products", "positions", "orders", "algo", "executions"),
        *("margin_orders", "margin_assets", "large"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How a run against the scenario should end.

    `left` names what is really open at the end, as patterns: legs as `BTCUSDT` or `BTCUSDT LONG`,
    orders by their client order id. Each names at least one, and nothing else is left.
    """

    exits: tuple[int, ...] = (0,)  # any of these
    states: tuple[str, ...] = ("COMPLETED",)
    left: tuple[str, ...] = ()
    says: tuple[str, ...] = ()  # words that the error message or the notes must hold
    within_s: float = 0.0  # until flat is seen for good, or the end; 0 for the deadline alone
    arguments: tuple[str, ...] = ()  # more of them for `liqctl liquidate`


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario; `make_venue` gives a fresh venue each time.

    With `accounts` it is a house, of which `make_address` gives a fresh one. `twins` are more names
    for some of the accounts.
    """

    name: str
    description: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)
    markets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    venue: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: int = 0
    expect: Expectation = Expectation()
    accounts: Mapping[str, "Scenario"] = field(default_factory=dict)
    twins: Mapping[str, str] = field(default_factory=dict)
    uncovered: tuple[str, ...] = ()
    master: bool = True

    def make_address(self) -> Address:
        """Return the house at its beginning: each account with the key and secret of its name.

        Raises:
            ValueError: a name cannot be one, or an account sets what is the whole house's.
        """
        names = [*self.accounts, *self.twins]
        wrong = [name for name in names if name == MASTER or not _ACCOUNT_NAME.fullmatch(name)]
        wrong += [name for name in self.uncovered if name not in names]
        wrong += [name for name in self.twins.values() if name not in self.accounts]
        if wrong or not names:
            raise ValueError(f"no account is, or can be, called {', '.join(wrong) or 'nothing'}")
        own = replace(self, accounts={}).make_venue(
            api_key=key_of(MASTER) if self.master else _NOBODY, api_secret=secret_of(MASTER)
        )
        own.alias = alias_of(MASTER)
        venues = {}
        for name, scenario in self.accounts.items():
            if shared := _SHARED_KEYS & scenario.venue.keys():
                raise ValueError(f"{name}: {', '.join(sorted(shared))} is the whole house's")
            venue = scenario.make_venue(api_key=key_of(name), api_secret=secret_of(name))
            venue.alias, venue.weights = alias_of(name), own.weights
            venue.clock_skew_ms = own.clock_skew_ms
            for symbol, market in venue.account.markets.items():
                own.account.markets.setdefault(symbol, market)
            venues[name] = venue
        subs = {email_of(name): venue for name, venue in venues.items()}
        own.subs = subs if self.master else None
        for name, account in self.twins.items():
            venues[name] = venues[account]
            venues[name].other_keys[key_of(name)] = secret_of(name)
        return Address(venues=venues, subs=subs, master=own, uncovered=frozenset(self.uncovered))

    def make_venue(self, *, api_key: str = "", api_secret: str = "") -> Venue:
        """Return the venue at its beginning.

        Raises:
            ConfigurationError: the scenario is a house.
        """
        if self.accounts:
            raise ConfigurationError(f"scenario {self.name} has several accounts, not one")
        unknown = set(self.account) - _SEEDS
        if unknown:
            raise ValueError(f"an account has no {', '.join(sorted(unknown))}")
        settings = dict(self.venue)
        products = {Product(name) for name in self.account.get("products", Product)}
        positions = {
            key: row
            for key, row in self.account.get("positions", {}).items()
            if product_of(str(key).split(" ")[0]) in products
        }
        orders, algo = (
            [row for row in self.account.get(name, []) if product_of(row["symbol"]) in products]
            for name in ("orders", "algo")
        )
        executions = self.account.get("executions", [])
        symbols = [*PRICES, *_COINM, *(str(key).split(" ")[0] for key in positions)]
        rows = (*orders, *algo, *executions, *self.events)
        symbols += [row["symbol"] for row in rows if "symbol" in row]
        account = Account(
            markets={
                symbol: make_market(symbol, self.markets.get(symbol, {}))
                for symbol in dict.fromkeys([*symbols, *self.markets])
            },
            hedge=self.account.get("mode") == "hedge",
            lags=_pop_lags(settings),
            portfolio=Margin(self.account.get("margin", "STANDARD")) is Margin.PORTFOLIO,
            margin_assets={
                asset: {name: Decimal(str(amount)) for name, amount in row.items()}
                for asset, row in self.account.get("margin_assets", {}).items()
            },
            **{key: _value(settings.pop(key)) for key in _ACCOUNT_KEYS & settings.keys()},
        )
        if "coins" in settings:
            coins = {asset: Decimal(str(held)) for asset, held in settings.pop("coins").items()}
            account.coins = defaultdict(Decimal, coins)
        things: list[tuple[Holding | Order | AlgoOrder, Mapping[str, Any]]] = []
        for key, row in positions.items():
            symbol, _, side = str(key).partition(" ")
            dated = row if isinstance(row, Mapping) else {"quantity": row}
            held = Holding(
                symbol=symbol,
                position_side=side or "BOTH",
                amount=Decimal(str(dated["quantity"])),
                entry_price=account.markets[symbol].mark_price * Decimal("0.98"),
                update_ms=_LONG_AGO_MS,
            )
            account.holdings[held.leg] = held
            things.append((held, dated))
        for number, row in enumerate(orders, start=1):
            order = _make_order(account, row, number)
            account.orders[order.order_id] = order
            things.append((order, row))
        for number, row in enumerate(self.account.get("margin_orders", []), start=1):
            account.margin_orders.append(_make_order(account, row, number))
        for number, row in enumerate(algo, start=1):
            resting = _make_algo(account, row, number)
            account.algo_orders[resting.algo_id] = resting
            things.append((resting, row))
        account.fresh = [
            (int(row["opened_ms_ago"]), thing) for thing, row in things if "opened_ms_ago" in row
        ]
        events = [make_event(event) for event in self.events]
        for number, row in enumerate(executions, start=1):
            execution = _make_execution(account, row, number)
            account.executions[execution.algo_id] = execution
            events.append(
                WorldEvent(
                    act=partial(trade_slice, execution=execution),
                    name="slice",
                    at_ms=execution.every_ms,
                    every_ms=execution.every_ms,
                    times=execution.slices,
                )
            )
        weights = {own: settings.pop(key) for key, own in _WEIGHT_KEYS.items() if key in settings}
        made = Venue(
            account=account,
            routes=ROUTES,
            weights=Weights(**weights),
            api_key=api_key,
            api_secret=api_secret,
            events=events,
            **settings,
        )
        for fault in self.faults:
            made.add_fault(**fault)
        return made


def make_market(symbol: str, changes: Mapping[str, Any]) -> Market:
    """Return a market with the symbol's usual price and some settings changed."""
    pair, _, expiry = symbol.partition("_")
    is_coinm = product_of(symbol) is Product.COINM
    base = pair.removesuffix("USD" if is_coinm else "USDT") or symbol
    usual = PRICES.get(f"{base}USDT" if is_coinm else symbol, "10")
    price = Decimal(str(changes.get("mark_price", usual)))
    tick = Decimal("0.10") if price >= 1000 else Decimal("0.0001")  # noqa: PLR2004
    settings: dict[str, Any] = {"tick_size": tick, "notional_min": Decimal(5)}
    if is_coinm:
        settings |= {
            "quote_asset": "USD",
            "contract_size": _CONTRACT_SIZE_BTC if base == "BTC" else _CONTRACT_SIZE,
            "step_size": Decimal(1),
            "quantity_min": Decimal(1),
            "quantity_max": Decimal(1_000_000),
            "market_quantity_max": Decimal(60_000),
            "notional_min": Decimal(0),
        }
    if is_coinm and expiry.isdigit():
        day = datetime.strptime(f"{expiry}+0000", "%y%m%d%z") + timedelta(hours=_DELIVERY_HOUR)
        settings["contract_type"] = "CURRENT_QUARTER"
        settings["delivery_ms"] = round(day.timestamp() * 1000)
    settings |= {name: _value(value) for name, value in changes.items()}
    settings["mark_price"] = price
    return Market(symbol=symbol, base_asset=base, **settings)


def _pop_lags(settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Take out of the venue's settings by how much each list lags."""
    positions, orders = settings.pop("position_lag_ms", 0), settings.pop("order_lag_ms", 0)
    usual = {"positions": positions, "account": positions, "orders": orders, "algo": orders}
    given = dict(settings.pop("lag_ms", None) or {})
    unknown = {name.removeprefix("coinm_") for name in given} - {*SOURCES, "executions"}
    if unknown:
        raise ValueError(f"no list is called {', '.join(sorted(unknown))}")
    lags = {name: tuple(map(int, _listed(value))) for name, value in (usual | given).items()}
    return {name: values for name, values in lags.items() if any(values)}


def _make_order(account: Account, row: Mapping[str, Any], number: int) -> Order:
    is_stop = "trigger" in row
    return Order(
        **_instruction(row),
        order_id=account.next_id(),
        client_order_id=str(row.get("client_order_id", f"bot-{number}")),
        type=row.get("type", "STOP_MARKET" if is_stop else "LIMIT"),
        quantity=Decimal(str(row.get("quantity", 0) if is_stop else row["quantity"])),
        price=Decimal(str(row.get("price", 0) if is_stop else row["price"])),
        trigger_price=Decimal(str(row.get("trigger", 0))),
        close_position=bool(row.get("close_position", False)),
        hidden=bool(row.get("hidden", False)),
    )


def _make_execution(account: Account, row: Mapping[str, Any], number: int) -> Execution:
    """Return an execution algorithm; it trades a tenth every minute where its row says nothing."""
    quantity = Decimal(str(row["quantity"]))
    return Execution(
        algo_id=account.next_id(),
        client_algo_id=str(row.get("client_algo_id", f"execution-{number}")),
        symbol=row["symbol"],
        side=row["side"],
        position_side=row.get("position_side", "BOTH"),
        quantity=quantity,
        slice=Decimal(str(row.get("slice", quantity / 10))),
        every_ms=int(row.get("every_ms", _SLICE_MS)),
        kind=row.get("kind", "TWAP"),
        reduce_only=bool(row.get("reduce_only", False)),
    )


def _make_algo(account: Account, row: Mapping[str, Any], number: int) -> AlgoOrder:
    quantity = row.get("quantity")
    return AlgoOrder(
        **_instruction(row),
        algo_id=account.next_id(),
        client_algo_id=str(row.get("client_algo_id", f"stop-{number}")),
        type=row.get("type", "STOP_MARKET"),
        trigger_price=Decimal(str(row["trigger"])),
        quantity=None if quantity is None else Decimal(str(quantity)),
        time_in_force=row.get("time_in_force", "GTC"),
        close_position=bool(row.get("close_position", False)),
    )


def _instruction(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an order has in either book."""
    return {
        "symbol": row["symbol"],
        "side": row["side"],
        "position_side": row.get("position_side", "BOTH"),
        "reduce_only": bool(row.get("reduce_only", False)),
        "time_ms": _LONG_AGO_MS,
        "update_ms": _LONG_AGO_MS,
        "owner": "bot",
    }


def make_large_account(
    *,
    symbols: int,
    coinm: int = 0,
    orders: int = 3,
    algo: int = 2,
    hedge: bool = False,
    margin: str = "STANDARD",
    times: int = 1,
    seed: int = 1,
) -> Scenario:
    """Return an account with a position on each symbol, resting orders and protective stops.

    Beside the USDS-M symbols are `coinm` contracts of COIN-M; of every other one the last stop
    rests in the regular book. All positions are so many `times` as large as the seed says.
    """
    rng = random.Random(seed)
    positions: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    stops: list[dict[str, Any]] = []
    names = [f"C{number:03d}USDT" for number in range(symbols)]
    names += [f"C{number:03d}USD_PERP" for number in range(symbols, symbols + coinm)]
    for number, symbol in enumerate(names):
        is_coinm = number >= symbols
        is_long = rng.random() < 0.5  # noqa: PLR2004 - a coin
        amount = times * Decimal(rng.randint(1, 5000)) / (1 if is_coinm else 1000)
        leg = "LONG" if is_long else "SHORT"
        positions[f"{symbol} {leg}" if hedge else symbol] = str(amount if is_long else -amount)
        quantity = "50" if is_coinm else "0.5"
        common = {"symbol": symbol, "position_side": leg if hedge else "BOTH"}
        for step in range(orders):
            side, price = ("BUY", "96") if step % 2 else ("SELL", "104")
            name = f"bot-{number}-{step}"
            row = {"side": side, "price": price, "quantity": quantity, "client_order_id": name}
            rows.append(common | row)
        for step in range(algo):
            side, price = ("SELL", "90") if is_long else ("BUY", "110")
            name, only_reduces = f"stop-{number}-{step}", step == 0 and not hedge
            stop = {"side": side, "trigger": price, "quantity": str(amount)}
            is_older = is_coinm and number % 2 and step == algo - 1
            id_name = "client_order_id" if is_older else "client_algo_id"
            named = {"reduce_only": only_reduces, id_name: name}
            (rows if is_older else stops).append(common | stop | named)
    return Scenario(
        name=f"large-{symbols}",
        account={
            "mode": "hedge" if hedge else "one_way",
            "margin": margin,
            "positions": positions,
            "orders": rows,
            "algo": stops,
        },
        markets={symbol: {"mark_price": "100"} for symbol in names},
    )


def list_scenarios() -> dict[str, Path]:
    """Return the files of scenarios with one account by name."""
    return {name: path for name, path in _files().items() if not name.startswith(_HOUSE)}


def list_houses() -> dict[str, Path]:
    """Return the files of scenarios with several accounts by name."""
    return {name: path for name, path in _files().items() if name.startswith(_HOUSE)}


def _files() -> dict[str, Path]:
    for place in _PLACES:
        if place.is_dir():
            return {path.stem: path for path in sorted(place.glob("*.yaml"))}
    return {}


def load_scenario(name: str) -> Scenario:
    """Return a scenario by its name or the path of its file.

    Raises:
        ConfigurationError: there is none, or its file cannot be understood.
    """
    known = _files()
    path = known.get(name, Path(name))
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    except OSError:
        text = None
    if text is None or len(text) > _FILE_MAX_BYTES:
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=_NEAREST_MAX, cutoff=_ALIKE)
        nearest = f"; nearest: {', '.join(near)}" if near else ""
        raise ConfigurationError(
            f"there is no scenario {name!r}{nearest}; `liqctl simulator list` shows all"
        )
    return parse_scenario(text, name=path.stem)


def parse_scenario(text: str, *, name: str) -> Scenario:
    """Return the scenario that a YAML text describes.

    Raises:
        ConfigurationError: the text is not a scenario.
    """
    import yaml

    try:
        rows = dict(yaml.safe_load(text))
        is_house = "accounts" in rows
        scenario = _read(rows, name)
        if is_house:
            scenario.make_address()
        else:
            scenario.make_venue()
    except (yaml.YAMLError, TypeError, ValueError, KeyError, ArithmeticError, Refused) as error:
        raise ConfigurationError(f"scenario {name} cannot be read: {error}") from error
    return scenario


_KEYS: Final = {each.name for each in fields(Scenario)} - {"twins"}
_ACCOUNT_ROW: Final = {"account", "faults", "events", "venue", "expect"}


def _read(rows: dict[str, Any], name: str) -> Scenario:
    """Return the scenario of a file, or of one account of a house."""
    if unknown := rows.keys() - _KEYS:
        raise ConfigurationError(f"scenario {name}: unknown keys {', '.join(sorted(unknown))}")
    expect = rows.pop("expect", {})
    large = dict(rows.get("account") or {}).get("large")
    if large is not None:
        generated = make_large_account(**large)
        rows |= {"account": generated.account, "markets": generated.markets}
    rows |= {key: tuple(rows.get(key) or ()) for key in ("faults", "events", "uncovered")}
    accounts, twins = {}, {}
    for account, settings in dict(rows.pop("accounts", {})).items():
        row = dict(settings or {})
        if row.keys() == {"key_of"}:
            twins[account] = row["key_of"]
            continue
        if unknown := row.keys() - _ACCOUNT_ROW:
            raise ValueError(f"{account} has no {', '.join(sorted(unknown))}")
        accounts[account] = _read(row | {"markets": rows.get("markets", {})}, account)
    return Scenario(
        **{"name": name, **rows},
        expect=Expectation(
            exits=tuple(_listed(expect.get("exit", 0))),
            states=tuple(_listed(expect.get("state", "COMPLETED"))),
            left=tuple(_listed(expect.get("left", []))),
            says=tuple(map(str, _listed(expect.get("says", [])))),
            within_s=float(expect.get("within_s", 0.0)),
            arguments=tuple(map(str, _listed(expect.get("arguments", [])))),
        ),
        accounts=accounts,
        twins=twins,
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _value(value: Any) -> Any:
    """Return numbers written as text as Decimals; everything else as it is."""
    if isinstance(value, str) and value.replace(".", "", 1).replace("-", "", 1).isdigit():
        return Decimal(value)
    return value
