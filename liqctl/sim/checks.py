"""What the simulated venue checks, in the venue's order: who asks, then what an order asks for.

The signature covers the query string joined directly with the body, without itself (Binance
USDS-M "General Info", read 2026-11-23). An order that passes every check is carried out.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Container, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final
from urllib.parse import unquote

from liqctl.kernel.amounts import parse_decimal
from liqctl.sim.account import Account
from liqctl.sim.market import CONDITIONAL_TYPES, OPEN_ORDERS_MAX, TIMES_IN_FORCE, Market
from liqctl.sim.orders import AlgoOrder, Order, Refused, is_closing, malformed, refuse_if

Params = Mapping[str, str]

_RECV_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MAX_MS: Final = 1000
_PEM_MARK: Final = "PUBLIC KEY"
_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_SIDES: Final = frozenset({"BUY", "SELL"})
_ZERO: Final = Decimal(0)
# Before a contract settles or is delivered. Assumed for COIN-M.
_ONLY_CLOSING: Final = frozenset({"PRE_SETTLE", "PRE_DELIVERING"})

# -- who asks ----------------------------------------------------------------------------------


def key_in(headers: Mapping[str, str]) -> str:
    """Return the key that was sent, empty when none was."""
    sent = {name.lower(): value for name, value in headers.items()}
    return sent.get("x-mbx-apikey", "")


def check_key(headers: Mapping[str, str], keys: Container[str]) -> str:
    """Return the key that was sent; refuse all but the account's keys."""
    key = key_in(headers)
    if not re.fullmatch(r"[A-Za-z0-9]{16,128}", key):
        raise Refused(-2014, status=401)
    if key not in keys:
        raise Refused(-2015, status=401)
    return key


def check_timestamp(params: Params, now_ms: int) -> None:
    """Refuse what is older than its window, or from more than a second ahead.

    Accepted is `timestamp < now + 1000 and now - timestamp <= recvWindow`.
    """
    timestamp, window = params.get("timestamp", ""), params.get("recvWindow", "5000")
    if not timestamp.isdigit():
        raise malformed("timestamp")
    if not window.isdigit() or int(window) > _RECV_WINDOW_MAX_MS:
        raise Refused(-1131)
    if int(timestamp) >= now_ms + _AHEAD_MAX_MS:
        raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - int(timestamp) > int(window):
        raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(query: str, body: str, secret: str) -> None:
    """Refuse a wrong signature. `secret` is the HMAC secret, or an RSA or Ed25519 public key."""
    signed, _, signature = f"{query}{body}".rpartition("signature=")
    payload = signed.removesuffix("&").encode()
    if _PEM_MARK not in secret:
        proof = sign(payload, secret).encode()
        refuse_if((not hmac.compare_digest(proof, signature.lower().encode()), -1022))
        return
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(secret.encode())
    is_right = isinstance(key, RSAPublicKey | Ed25519PublicKey)
    try:  # In base64: RSASSA-PKCS1-v1_5 with SHA-256, or Ed25519.
        proof = base64.b64decode(unquote(signature), validate=True)
        if isinstance(key, RSAPublicKey):
            key.verify(proof, payload, PKCS1v15(), SHA256())
        elif isinstance(key, Ed25519PublicKey):
            key.verify(proof, payload)
    except (InvalidSignature, binascii.Error):
        is_right = False
    refuse_if((not is_right, -1022))


def sign(payload: bytes, secret: str) -> str:
    """Return the HMAC-SHA256 of the payload in hex."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


# -- what an order asks for --------------------------------------------------------------------


def place(account: Account, params: Params, *, owner: str = "key", test: bool = False) -> Order:
    """Check and execute a new order; with `test` only check it."""
    order = _read_order(account, params, owner)
    market = account.market(order.symbol)
    if not order.trigger_price:  # What it may do is looked at when it triggers.
        _check_filters(order, market)
        _check_leg(account, order, market)
        crosses, in_force = market.crosses(order), order.time_in_force
        is_thin = market.depth is not None and market.depth < order.quantity
        best = market.best(order.side)
        refuse_if(
            (order.type == "MARKET" and not market.is_in_band(best, order.side), -4131),
            (in_force == "GTX" and crosses, -5022),
            (in_force == "FOK" and (is_thin or not crosses), -5021),
        )
    if test:
        return order
    if owner == "key" and account.handling.hide_ms:
        order.known_from_ms = account.now_ms + account.handling.hide_ms
    account.add(order)
    if not order.trigger_price:
        account.match(order)
    return order


def trigger_older(account: Account, stop: Order) -> None:
    """Turn a conditional order of the regular book into a market order, under the same id."""
    account.note(stop)
    held = account.holding(stop.leg)
    if stop.close_position and held:
        stop.quantity = abs(held.amount)
    try:
        _check_leg(account, stop, account.market(stop.symbol))
    except Refused:
        account.end(stop, "EXPIRED")
    else:
        stop.type, stop.trigger_price = "MARKET", _ZERO
        account.match(stop)


def trigger(account: Account, algo: AlgoOrder) -> None:
    """Turn a conditional order into a market order, as its trigger price would."""
    account.end(algo, "TRIGGERED")
    held = account.holding(algo.leg)
    quantity = algo.quantity
    if quantity is None:
        quantity = abs(held.amount) if held else _ZERO
    params = {
        "symbol": algo.symbol,
        "side": algo.side,
        "type": "MARKET",
        "quantity": str(quantity),
        "newClientOrderId": f"algo_{algo.algo_id}",
    }
    if account.hedge:
        params["positionSide"] = algo.position_side
    elif algo.reduce_only or algo.close_position:
        params["reduceOnly"] = "true"
    try:
        child = place(account, params, owner=algo.owner)
    except Refused as refusal:
        algo.rejection = refusal.message
        account.end(algo, "REJECTED")
    else:
        algo.child_id = child.order_id
        account.end(algo, "FINISHED")


def place_algo(account: Account, params: Params, *, owner: str = "key") -> AlgoOrder:
    """Check and rest a conditional order."""
    account.market(params.get("symbol"))  # Refused where there is none.
    kind, side = params.get("type", ""), params.get("side", "")
    closes_all = _is_true(params, "closePosition")
    if params.get("algoType") != "CONDITIONAL":
        raise malformed("algoType")
    refuse_if(
        (side not in _SIDES, -1117),
        (kind not in CONDITIONAL_TYPES, -1116),
        (closes_all and params.get("quantity"), -4137),
        (closes_all and params.get("reduceOnly"), -4138),
        (len(account.open_algo_orders()) >= OPEN_ORDERS_MAX, -4045),
    )
    algo = AlgoOrder(
        algo_id=account.next_id(),
        client_algo_id=params.get("clientAlgoId") or f"algo{account.next_id()}",
        **_instruction(account, params, owner),
        trigger_price=_amount(params, "triggerPrice"),
        quantity=None if closes_all else _amount(params, "quantity"),
        price=parse_decimal(params.get("price", "0")) or _ZERO,
        time_in_force=params.get("timeInForce", "GTC"),
        close_position=closes_all,
    )
    account.add(algo)
    return algo


def _read_order(account: Account, params: Params, owner: str) -> Order:
    """Return the order that the parameters ask for; nothing is checked against the position."""
    market = account.market(params.get("symbol"))
    kind, side = params.get("type", ""), params.get("side", "")
    time_in_force = params.get("timeInForce", "")
    is_older = kind in CONDITIONAL_TYPES and account.older_stops and market.contract_size
    refuse_if((side not in _SIDES, -1117), (kind in CONDITIONAL_TYPES and not is_older, -4120))
    refuse_if((kind not in {"MARKET", "LIMIT"} and not is_older, -1116))
    if kind == "MARKET" and time_in_force:
        raise Refused(-1106, "Parameter 'timeInForce' sent when not required.")
    client_id = params.get("newClientOrderId") or f"auto{account.next_id()}"
    closes_all = bool(is_older) and _is_true(params, "closePosition")
    resting = account.open_orders()
    count = sum(order.symbol == market.symbol for order in resting)
    refuse_if(
        (not _CLIENT_ID.fullmatch(client_id), -4015),
        (any(order.client_order_id == client_id for order in resting), -4116),
        (count >= OPEN_ORDERS_MAX, -2025),
    )
    order = Order(
        order_id=account.next_id(),
        client_order_id=client_id,
        **_instruction(account, params, owner),
        quantity=_ZERO if closes_all else _amount(params, "quantity"),
        price=_amount(params, "price") if kind == "LIMIT" else _ZERO,
        trigger_price=_amount(params, "stopPrice") if is_older else _ZERO,
        close_position=closes_all,
        time_in_force=time_in_force or "GTC",
    )
    if kind == "LIMIT" and not time_in_force:
        raise malformed("timeInForce")
    refuse_if((order.time_in_force not in TIMES_IN_FORCE, -1115))
    return order


def _instruction(account: Account, params: Params, owner: str) -> dict[str, Any]:
    """Return what an order of either book has at once; refuse what its position mode forbids."""
    position_side = params.get("positionSide") or "BOTH"
    is_known = position_side in {"BOTH", "LONG", "SHORT"}
    refuse_if((not is_known, -4060), (account.hedge == (position_side == "BOTH"), -4061))
    if account.hedge and params.get("reduceOnly"):
        raise Refused(-1106, "Parameter 'reduceonly' sent when not required.")
    return {
        **{name: params.get(name, "") for name in ("symbol", "side", "type")},
        "position_side": position_side,
        "reduce_only": _is_true(params, "reduceOnly"),
        "time_ms": account.now_ms,
        "update_ms": account.now_ms,
        "owner": owner,
    }


def _amount(params: Params, name: str) -> Decimal:
    value = parse_decimal(params.get(name, ""))
    if value is None:
        raise malformed(name)
    return value


def _is_true(params: Params, name: str) -> bool:
    return params.get(name, "").lower() == "true"


def _check_filters(order: Order, market: Market) -> None:
    """Refuse what the symbol's status, lot, price band or smallest notional do not allow."""
    is_market, quantity, status = order.type == "MARKET", order.quantity, market.status
    may_open = status not in _ONLY_CLOSING or order.only_reduces
    most = market.market_quantity_max if is_market else market.quantity_max
    refuse_if(
        (status in {"CLOSE", "DELIVERED"}, -4141),
        (status in {"SETTLING", "DELIVERING"} or not may_open, -4140),
        (status not in {"TRADING", *_ONLY_CLOSING}, -1122),
        (quantity <= 0, -4003),
        (quantity < market.quantity_min, -4004),
        (quantity > most, -4005),
        (_rest(quantity, market.step_size), -1111),
    )
    if is_market:
        refuse_if((_rest(quantity, market.market_step_size or market.step_size), -4023))
    else:
        refuse_if((order.price <= 0, -4001), (_rest(order.price, market.tick_size), -4014))
        if not market.is_in_band(order.price, order.side):
            code, way = (-4016, "higher") if order.side == "BUY" else (-4024, "lower")
            edge = f"{market.edge(order.side).normalize():f}"
            raise Refused(code, f"Limit price can't be {way} than {edge}.")
    price = market.mark_price if is_market else order.price
    if not order.only_reduces and market.quote(quantity, price) < market.notional_min:
        raise Refused(
            -4164,
            f"Order's notional must be no smaller than {market.notional_min} "
            "(unless you choose reduce only).",
        )


def _rest(value: Decimal, step: Decimal) -> Decimal:
    return value - (value / step).to_integral_value(ROUND_FLOOR) * step


def _check_leg(account: Account, order: Order, market: Market) -> None:
    """Refuse what reduces nothing, or opens without margin; cut what reduces too much."""
    held = account.holding(order.leg)
    amount = abs(held.amount) if held and is_closing(order, held.amount) else _ZERO
    if not order.only_reduces:
        cost = market.value(order.quantity, market.mark_price) / account.leverage
        refuse_if((cost > account.wallet(market) and not amount, -2019))
        return
    is_hedge = order.position_side != "BOTH"
    conflict = -2022 if account.conflict_code == -2022 else -4118  # noqa: PLR2004 - Binance's code
    claimed = sum(
        other.remaining
        for other in account.open_orders()
        if (other.leg, other.side) == (order.leg, order.side)
        and other.only_reduces
        and not other.trigger_price
    )
    refuse_if(
        (not amount, -2022),
        (is_hedge and order.quantity > amount, -2022),
        (claimed and claimed + order.quantity > amount, conflict),
    )
    order.quantity = min(order.quantity, amount)
