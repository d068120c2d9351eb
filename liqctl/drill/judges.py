"""Judges outside the code: what no run may do, whatever goes wrong.

They look at the venue's own journal and truth, which is more than any list showed, never at what
the run says of itself, except to hold the two against one another. What others opened so late that
no list could show it is excused, and counted apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from liqctl.kernel.events import RUN_ENDS, AuditEventType
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.policy import product_of as product_of_symbol
from liqctl.kernel.requests import Endpoint, spec_of
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, Product
from liqctl.kernel.values import CLIENT_ORDER_ID_PREFIX
from liqctl.sim.account import SOURCES
from liqctl.sim.hosts import product_of
from liqctl.sim.orders import AlgoOrder, CancelledStop, LegKey, Listing, Order, is_closing
from liqctl.sim.venue import Venue

OVERSHOOT_MAX_S: Final = 0.25
"""How long after its deadline a run may end."""

HOLDS_MS: Final = 3000
"""How long flat must hold without anybody's new activity: no order of ours lands later."""

_SLACK_MS: Final = 1000
"""Between the last reading and the end lie its way back, slow answers and the disk."""

_NO_ROOM_S: Final = 0.6
"""So close to its deadline a run has used what was left of it."""

# Moments of the venue are whole milliseconds, those of the run are not.
_ROUNDING_MS: Final = 5
_READINGS_OF_ONE: Final = 3
"""Where one source of positions is silent, the other must show nothing that often."""

_LISTS: Final = (
    (Endpoint.POSITIONS, Endpoint.ACCOUNT),
    (Endpoint.OPEN_ORDERS,),
    (Endpoint.OPEN_ALGO_ORDERS,),
)
"""The three lists, each by its own way and the second one."""

_POSITIONS: Final = ("positions", "account")

Events = Sequence[tuple[str, Mapping[str, Any]]]
"""What a run recorded: names of events and their details, in order."""

WHOLE_ACCOUNT: Final = LiquidationConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run to be judged, right after its end.

    `ended_ms` is when it ended, by the caller's clock.
    """

    venue: Venue
    result: LiquidationResult
    duration_s: float
    ended_ms: int
    events: Events = ()
    latency_s: float = 0.05
    policy: LiquidationConfig = WHOLE_ACCOUNT

    @property
    def end_ms(self) -> int:
        """When the run ended, by the venue's clock."""
        return self.ended_ms + self.venue.clock_skew_ms

    @property
    def latency_ms(self) -> float:
        """The round trip of a request."""
        return self.latency_s * 1000

    @property
    def completed(self) -> bool:
        """Whether the run says that the account is flat."""
        return self.result.state is LiquidationState.COMPLETED

    @property
    def has_no_room(self) -> bool:
        """Whether it ended so close to its deadline that nothing more could be read."""
        left_s = self.result.timeout_seconds - self.duration_s
        return left_s <= _NO_ROOM_S + 6 * self.latency_s

    def is_late(self, at_ms: int) -> bool:
        """Return whether a moment lies within the last lag before the end."""
        lag_ms = max((max(lags) for lags in self.venue.account.lags.values()), default=0)
        return at_ms >= self.end_ms - lag_ms - 2 * self.latency_ms - _SLACK_MS

    def listings(
        self, *sources: str, by_ms: float = float("inf"), product: Product | None = None
    ) -> Iterator[Listing]:
        """Yield what lists showed and the run knew by a moment of the venue, the latest first."""
        for listing in reversed(self.venue.account.journal.listings):
            is_meant = product in {None, listing.product}
            if is_meant and listing.source in sources and listing.known_ms <= by_ms:
                yield listing

    def was_shown(self, thing: object, since_ms: int, *sources: str, by_ms: float) -> bool:
        """Return whether a list showed something after it came to be."""
        return any(
            listing.moment_ms >= since_ms and thing in listing.shown
            for listing in self.listings(*sources, by_ms=by_ms)
        )

    def reads_amount(
        self, key: LegKey, by_ms: float = float("inf"), *, in_either: bool = False
    ) -> Decimal | None:
        """Return what the latest list of positions showed the leg to hold, None without one.

        With `in_either` that one counts, of two that were asked side by side, which shows it open.
        """
        product = self.venue.account.markets[key[0]].product
        # COIN-M's positions are narrowed by their pair.
        asked = {"", key[0], key[0].rpartition("_")[0]}
        latest: Listing | None = None
        for listing in self.listings(*_POSITIONS, by_ms=by_ms, product=product):
            if not listing.readable or listing.symbol not in asked:
                continue
            is_beside = latest is None or listing.at_ms >= latest.at_ms - self.latency_ms
            if latest is not None and not (in_either and is_beside):
                break
            latest = latest or listing
            if key in listing.shown:
                return self.venue.account.holdings.as_of(listing.moment_ms)[key].amount
        return None if latest is None else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the judges say of a run.

    Attributes:
        broken: every rule that it broke, in words.
        excused: what is open, or lost its stop, because others came too late to be seen.
    """

    broken: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)


def judge(case: Case) -> Judgement:
    """Return the verdict; time passes at the venue, and nobody does anything new there."""
    venue, excused = case.venue, list[str]()
    venue.tick(case.ended_ms)
    broken = [
        *client_order_ids(venue),
        *stops(case, excused),
        *truth(case, excused),
        *proof(case),
        *window(case),
        *deadline(case),
        *trail(case.events),
        *holds(case),
        *exposure(venue),
    ]
    return Judgement(broken=broken, excused=excused)


def exposure(venue: Venue) -> list[str]:
    """No order of ours increases a leg or turns it around."""
    return [
        f"{client_order_id} took {symbol} {side} from {before} to {after}"
        for client_order_id, owner, symbol, side, before, after in venue.account.journal.fills
        if owner == "key"
        and client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
        and (abs(after) > abs(before) or after * before < 0)
    ]


def client_order_ids(venue: Venue) -> list[str]:
    """No client order id is sent twice."""
    sent = [row[3] for row in venue.account.journal.requests if row[1] == "POST" and row[3]]
    return [f"{each} was sent twice" for each in sorted({x for x in sent if sent.count(x) > 1})]


def stops(case: Case, excused: list[str]) -> Iterator[str]:
    """No protective stop is cancelled while its leg is open."""
    for stop in case.venue.account.journal.cancelled_stops:
        algo = stop.algo
        by_ms = stop.at_ms - case.latency_ms
        amount = case.reads_amount(algo.leg, by_ms)
        opens = amount is not None and not (amount and is_closing(algo, amount))
        if opens and not algo.only_reduces:
            continue  # On a leg that reads flat, or turned round, a plain stop opens.
        if any(
            not listing.readable
            and listing.moment_ms >= algo.time_ms
            and listing.symbol in {"", algo.symbol}
            and algo.number not in listing.shown
            for listing in case.listings(algo.listed_in, by_ms=by_ms)
        ):
            continue  # What stands in a row that nobody can read may open something.
        if _own_fills_closed(case, algo.leg, by_ms):
            continue  # What others added on the way is no more than a bad reading can hide.
        text = f"the stop {algo.name} on {algo.symbol} was cancelled while its leg is open"
        if _could_not_know(case, stop, by_ms):
            excused.append(text)
        elif not _own_fills_closed(case, algo.leg, by_ms, by_stamps=True):
            yield text


def _own_fills_closed(case: Case, key: LegKey, by_ms: float, *, by_stamps: bool = False) -> bool:
    """Return whether our confirmed fills closed all that was read of the leg, and a list agrees.

    A list that was asked for before the fill's answer came says nothing of what is left; with
    `by_stamps` nor does a later one that shows a moment before the fill, as its stamps tell.
    """
    account = case.venue.account
    ours = [
        trade
        for trade, fill in zip(account.trades, account.journal.fills, strict=True)
        if fill[1:4] == ("key", *key) and max(trade.time_ms, trade.order.known_from_ms) <= by_ms
    ]
    if not ours or case.reads_amount(key, by_ms) != 0:
        return False
    began_ms, answered_ms = ours[-1].time_ms - case.latency_ms, ours[-1].time_ms + case.latency_ms
    shown = [each for each in case.listings(*_POSITIONS, by_ms=by_ms) if key in each.shown]
    before = next((each for each in shown if each.at_ms <= began_ms), None)
    says_more = bool(shown) and not (by_stamps and shown[0].moment_ms < ours[-1].time_ms)
    if before is None or (shown[0].at_ms >= answered_ms and says_more):
        return False
    held = account.holdings.as_of(before.moment_ms)[key].amount
    closed = sum(trade.quantity for trade in ours if trade.time_ms > before.moment_ms)
    return closed >= abs(held)


def _could_not_know(case: Case, stop: CancelledStop, by_ms: float) -> bool:
    """Return whether others entered the leg so late that no list showed it before the cancel.

    A stop that a list showed is a sign of its own: it is given the time that lists may lag. One
    that no list showed may go with its symbol's whole book, at the end of the window.
    """
    algo, life = stop.algo, stop.life
    if not life.flat_ms or life.opened_by == "key":
        return False
    if case.was_shown(algo.leg, life.opened_ms, *_POSITIONS, by_ms=by_ms):
        return False
    settle_ms = case.policy.settle_seconds * 1000
    seen_ms = [
        listing.at_ms
        for listing in case.listings(algo.listed_in, by_ms=by_ms)
        if algo.number in listing.shown
    ]
    if seen_ms:
        return stop.at_ms - seen_ms[-1] >= settle_ms
    since_ms = stop.at_ms - (case.venue.started_ms or 0)
    return case.is_late(life.opened_ms) or since_ms >= settle_ms - _SLACK_MS


def truth(case: Case, excused: list[str]) -> Iterator[str]:
    """COMPLETED means flat in scope; not flat is listed, or said to be unread."""
    result, policy = case.result, case.policy
    if case.completed and not result.verified_flat:
        yield "COMPLETED without a proof"
    left, account = [], case.venue.account
    for name, thing in _open(case.venue, policy):
        if not _is_in_scope(case, thing):
            continue
        if _came_too_late(case, thing):
            excused.append(f"{name} is open")
        else:
            left.append(name)
    if case.completed and left:
        yield f"COMPLETED while the venue is not flat: {', '.join(left)}"
    if result.residual is None:
        return
    if left and not result.error_message:
        yield "not flat, and nothing says so"
    if policy.close_positions and "could not read" not in (result.error_message or ""):
        listed = {position.symbol for position in result.residual.positions}
        held = {
            key[0]
            for key, holding in account.holdings.items()
            if holding.amount and _covers(policy, key[0]) and case.reads_amount(key)
        }
        if held - listed:
            yield f"still open and not listed: {sorted(held - listed)}"


def _is_in_scope(case: Case, thing: LegKey | Order | AlgoOrder) -> bool:
    """Return whether the run was to close or cancel it.

    Where positions stay, so does an order that only shrinks its leg as it was listed last; of a leg
    turned round, a stop that only reduces is the one should it turn again.
    """
    policy = case.policy
    if not _covers(policy, thing[0] if isinstance(thing, tuple) else thing.symbol):
        return False
    if policy.close_positions or isinstance(thing, tuple):
        return True
    if isinstance(thing, Order) and not thing.trigger_price:
        return True
    amount = case.reads_amount(thing.leg, in_either=True)
    if not amount or thing.only_reduces:
        return not amount
    shrinks = thing.quantity is not None and thing.quantity <= abs(amount)
    return not (shrinks and is_closing(thing, amount))


def _covers(policy: LiquidationConfig, symbol: str) -> bool:
    return policy.covers(symbol) and product_of_symbol(symbol) in policy.products


def _came_too_late(case: Case, thing: LegKey | Order | AlgoOrder) -> bool:
    """Return whether others opened it so late that no list showed it, or no list ever did."""
    account = case.venue.account
    if isinstance(thing, Order) and thing.hidden:
        symbol = thing.symbol
        known: set[object] = {key for key in account.holdings if key[0] == symbol}
        known |= {order.order_id for order in account.orders.values() if order.symbol == symbol}
        known |= {algo.algo_id for algo in account.algo_orders.values() if algo.symbol == symbol}
        if not any(known & listing.shown for listing in case.listings(*SOURCES)):
            return True  # Nobody sweeps a symbol of which nothing was ever listed.
        if any("no list shows would remain" in note for note in case.result.notes):
            return True  # No whole book could be taken away, and the result says so.
    # A deadline shorter than the window promises less: what came just before the start counts too.
    is_cut = case.has_no_room and case.duration_s < case.policy.settle_seconds
    if isinstance(thing, tuple):
        life = account.life(thing)
        by_others, since_ms = life.opened_by != "key", life.opened_ms
        is_new = bool(life.flat_ms)
    else:
        by_others, since_ms = thing.owner != "key", thing.time_ms
        is_new = since_ms > (case.venue.started_ms or 0)
    if not (by_others and (is_new or is_cut) and case.is_late(since_ms)):
        return False
    by_ms = case.end_ms - case.latency_ms / 2
    if isinstance(thing, Order):
        return not case.was_shown(thing.order_id, since_ms, "orders", by_ms=by_ms)
    if isinstance(thing, AlgoOrder):
        return not case.was_shown(thing.algo_id, since_ms, "algo", by_ms=by_ms)
    return not case.was_shown(thing, since_ms, *_POSITIONS, by_ms=by_ms)


def holds(case: Case) -> list[str]:
    """What COMPLETED calls flat is flat a while later, without anybody's new activity."""
    before = set(what_is_left(case.venue, case.policy))
    case.venue.calm()
    case.venue.tick(case.ended_ms + HOLDS_MS)
    new = sorted(set(what_is_left(case.venue, case.policy)) - before)
    return [f"{name} came to be open after COMPLETED" for name in new if case.completed]


def what_is_left(venue: Venue, policy: LiquidationConfig = WHOLE_ACCOUNT) -> list[str]:
    """Return what is really open: legs by symbol and side, orders by client order id.

    What the policy leaves alone by kind is not counted: positions with `close_positions` false,
    and then the stops that protect them; orders with `cancel_orders` false. A switch that is
    disarmed leaves everything open.
    """
    return [name for name, _ in _open(venue, policy)]


def _open(
    venue: Venue, policy: LiquidationConfig
) -> Iterator[tuple[str, LegKey | Order | AlgoOrder]]:
    """Yield what is open in the products that are the account, and its name."""
    account, armed, products = venue.account, policy.emergency_liquidation, policy.products
    if policy.close_positions or not armed:
        for key, held in account.holdings.items():
            if held.amount and product_of_symbol(key[0]) in products:
                yield key[0] if key[1] == "BOTH" else " ".join(key), key
    if policy.cancel_orders or not armed:
        resting: list[Order | AlgoOrder] = [*account.open_orders(), *account.open_algo_orders()]
        for order in resting:
            is_stop = isinstance(order, AlgoOrder) or bool(order.trigger_price)
            if product_of_symbol(order.symbol) not in products:
                continue
            if policy.close_positions or not (armed and is_stop and account.is_needed(order)):
                yield order.name, order


def proof(case: Case) -> Iterator[str]:
    """COMPLETED rests on all three lists of each product, read after the last write to it."""
    if not case.completed:
        return
    requests = case.venue.account.journal.requests
    for product in case.result.products:
        writes = [
            number
            for number, (_, method, path, _) in enumerate(requests)
            if method in {"POST", "DELETE"} and product_of(path) is product
        ]
        after = {row[2] for row in requests[writes[-1] + 1 if writes else 0 :]}
        for ways in _LISTS:
            paths = [spec_of(each, product, case.result.margin).path for each in ways]
            if not after.intersection(paths):
                yield f"COMPLETED, and {paths[0]} was not read after the last write"


def window(case: Case) -> Iterator[str]:
    """COMPLETED rests on lists as late as the window asks for, and on both sources of positions.

    Where the deadline left no room for the window, what it left must have been used.
    """
    settle_s = case.policy.settle_seconds
    if not (case.completed and settle_s) or case.has_no_room:
        return
    # From the run's own start: over a real line its first request arrives a little later.
    due_ms = case.end_ms + (settle_s - case.duration_s) * 1000 - _ROUNDING_MS
    for product in case.result.products:
        last = {}
        for source in SOURCES:
            listings = case.listings(source, product=product)
            # What cannot be read of an order keeps nobody from cancelling it by its id.
            counted = (each.at_ms for each in listings if each.readable or source not in _POSITIONS)
            last[source] = next(counted, 0)
        by_account = last.pop("account")
        is_confirmed = min(by_account, last["positions"]) >= due_ms
        last["positions"] = max(by_account, last["positions"])
        for source, at_ms in last.items():
            if at_ms < due_ms and (source == "positions" or case.policy.cancel_orders):
                early_s = (due_ms - at_ms) / 1000
                what = f"{product.value} {source}"
                yield f"flat was not watched: {what} were last read {early_s:.3f} s too early"
        looks = list(case.listings(*_POSITIONS, product=product))
        if not is_confirmed and len(looks) < _READINGS_OF_ONE:
            yield "the second source of positions was not asked"


def deadline(case: Case) -> list[str]:
    """The run ends by its deadline."""
    timeout_s = case.result.timeout_seconds
    if case.duration_s <= timeout_s + OVERSHOOT_MAX_S:
        return []
    return [f"took {case.duration_s:.3f} s of {timeout_s}"]


def trail(events: Events) -> list[str]:
    """Each start has one end and nothing after it; an order is recorded before its answer."""
    names = [name for name, _ in events]
    starts = names.count(AuditEventType.LIQUIDATION_START)
    ends = sum(names.count(end) for end in RUN_ENDS)
    found = [] if starts == ends else [f"{starts} starts, {ends} ends"]
    if ends and names[-1] not in RUN_ENDS:
        found.append(f"{names[-1]} was recorded after the end")
    sent: set[str | None] = set()
    for name, details in events:
        client_order_id = details.get("client_order_id")
        if name == AuditEventType.ORDER_SENT:
            sent.add(client_order_id)
        elif name.startswith("ORDER_") and client_order_id and client_order_id not in sent:
            found.append(f"{client_order_id} was answered before it was recorded")
    return found
