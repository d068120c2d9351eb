"""Several accounts behind one address: the key of a request chooses the account.

Each account is a venue of its own, with its own faults, events, orders and markets; what they share
is the request weight, which lives in the venues: a run in virtual time speaks to `venues[NAME]`
itself. What an event does to a market is seen by its account alone, not by who asks without a key.

What a master's key may read of the accounts below it is here, too; it can trade nothing there.
Shapes, defaults and limits: Binance sub-account pages and connector, read 2026-11-23. Assumed: that
positions of an account in portfolio margin are shown too, that no row is empty, and the codes of
refusals but -9000 (seen for another reading of a strange email).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from liqctl.kernel.states import Product
from liqctl.sim.checks import key_in
from liqctl.sim.endpoints import wide_position
from liqctl.sim.orders import Refused, malformed, pick, refuse_if
from liqctl.sim.streams import read_target
from liqctl.sim.venue import Call, Json, Reply, Request, Venue

MASTER: Final = "master"
"""The name of the owner's own account."""

_LENGTH: Final = 64
_ALIAS_LENGTH: Final = 8
_FIRST_USER: Final = 10_000_001
_CREATED_MS: Final = 1_544_433_328_000
_LIST_MAX: Final = 200
_KEYS_MAX: Final = 100
_KEYS_USUAL: Final = 30
_USDM_ROW: Final = (
    "entryPrice leverage maxNotional liquidationPrice markPrice positionAmount=positionAmt symbol "
    "unrealizedProfit"
)
"""It does not tell the leg: in hedge mode two rows may have one symbol."""
_COINM_ROW: Final = (
    "entryPrice markPrice leverage isolated isolatedWallet isolatedMargin isAutoAddMargin "
    "positionSide positionAmount=positionAmt symbol unrealizedProfit"
)
_FUTURES: Final = {
    "1": (Product.USDM, "futurePositionRiskVos", _USDM_ROW),
    "2": (Product.COINM, "deliveryPositionRiskVos", _COINM_ROW),
}
"""By futuresType: the product, what its list is called, and what a row tells."""


def key_of(name: str) -> str:
    """Return the key of an account, which opens nothing but the simulator.

    >>> key_of("desk-a")
    'simulatorKeydeskXaZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ'
    """
    return _fake("simulatorKey", name)


def secret_of(name: str) -> str:
    """Return the secret that belongs to the key of an account."""
    return _fake("simulatorSecret", name)


def email_of(name: str) -> str:
    """Return the email by which the master knows an account."""
    return f"{name}@simulator.invalid"


def alias_of(name: str) -> str:
    """Return what the balances of an account call it: the same at each reading, telling nothing."""
    return hashlib.sha256(name.encode()).hexdigest()[:_ALIAS_LENGTH]


def _fake(kind: str, name: str) -> str:
    # Names have no capitals, so no two of them become one.
    return f"{kind}{name.replace('-', 'X')}".ljust(_LENGTH, "Z")


@dataclass(slots=True, kw_only=True)
class Address:
    """The accounts behind one address, and the master's own.

    `venues` is by name; two names may lead to one account, each with a key of its own. `subs` has
    each account once, by its email. The keys of the `uncovered` are given to nobody.
    """

    venues: Mapping[str, Venue]
    subs: Mapping[str, Venue]
    master: Venue
    uncovered: frozenset[str] = frozenset()

    @property
    def master_key(self) -> str:
        """The key that reads the positions of all, empty when there is none."""
        return "" if self.master.subs is None else self.master.api_key

    @property
    def master_secret(self) -> str:
        """The secret of that key."""
        return "" if self.master.subs is None else self.master.api_secret

    @property
    def names(self) -> tuple[str, ...]:
        """The names whose keys are given to somebody."""
        return tuple(name for name in self.venues if name not in self.uncovered)

    @property
    def credentials(self) -> dict[str, tuple[str, str]]:
        """Key and secret by each of these names."""
        return {name: (key_of(name), secret_of(name)) for name in self.names}

    def holder_of(self, url: str) -> Venue:
        """Return whose stream an address asks for, the master's venue for a key of nobody."""
        target = read_target(url)
        everybody = (*self.subs.values(), self.master)
        owners = [each for each in everybody if target and each.streams.owns(target.key)]
        return owners[0] if owners else self.master

    def handle(self, request: Request, now_ms: int) -> Reply:
        """Answer one request that arrives at `now_ms` of the caller's clock.

        Who sends no key, or a wrong one, is answered by the master's venue: with what everybody may
        know, or with a refusal.
        """
        key = key_in(request.headers)
        venue = next((each for each in self.subs.values() if key in each.keys), self.master)
        return venue.handle(request, now_ms)


# -- what the master's key reads ------------------------------------------------------------------


def sub_accounts(call: Call) -> Json:
    """Return the sub-accounts; one a page, where no limit is sent."""
    email, is_frozen = call.params.get("email"), call.params.get("isFreeze") == "true"
    rows = [
        {
            "subUserId": user,
            "email": name,
            "remark": "",
            "isFreeze": False,
            "createTime": _CREATED_MS,
            "isManagedSubAccount": False,
            "isAssetManagementSubAccount": False,
        }
        for user, name in enumerate(_subs(call), start=_FIRST_USER)
        if email in {None, "", name} and not is_frozen
    ]
    return {"subAccounts": _page(call, rows, "limit", usual=1, most=_LIST_MAX)}


def positions_of_sub(call: Call) -> Json:
    """Return the open positions of a sub-account in one of the products, as they are."""
    sub = _sub(call)
    if call.params.get("futuresType") not in _FUTURES:
        raise malformed("futuresType")
    product, name, columns = _FUTURES[call.params["futuresType"]]
    sub.pass_time(call.venue.now_ms)
    markets = sub.account.markets_of(product)
    rows = [
        pick(wide_position(replace(call, venue=sub), held) | {"isolated": "false"}, columns)
        for held in sub.account.holdings.values()
        if held.amount and held.symbol in markets
    ]
    return {name: rows}


def keys_of_sub(call: Call) -> Json:
    """Return the keys of a sub-account, in full."""
    sub, email, wanted = _sub(call), call.params["email"], call.params.get("subAccountApiKey")
    rows = [
        {
            "email": email,
            "apiName": f"key-{number}",
            "apikey": key,
            "canTrade": False,
            "canMarginLoanRepay": False,
            "canFuturesTrade": sub.can_trade,
            "canUniversalTransfer": False,
            "canVanillaOptions": False,
            "timestamp": _CREATED_MS,
        }
        for number, key in enumerate(sub.keys, start=1)
        if wanted in {None, "", key}
    ]
    shown = _page(call, rows, "size", usual=_KEYS_USUAL, most=_KEYS_MAX)
    return {"total": len(rows), "rows": shown}


def _subs(call: Call) -> Mapping[str, Venue]:
    if call.venue.subs is None:
        raise Refused(-1002, status=401)
    return call.venue.subs


def _sub(call: Call) -> Venue:
    subs, email = _subs(call), call.params.get("email")
    if not email:
        raise malformed("email")
    refuse_if((email not in subs, -9000))
    return subs[email]


def _page(
    call: Call, rows: list[dict[str, Any]], size: str, *, usual: int, most: int
) -> list[dict[str, Any]]:
    page, length = call.count("page", usual=1), call.count(size, usual=usual, most=most)
    return rows[(page - 1) * length : page * length]
