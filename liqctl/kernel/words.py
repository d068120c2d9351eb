"""What is said in words: what exit codes mean, why a run did not end flat, what else was noticed.

`liqctl explain` and the README's table of exit codes are made of the tables; what states and events
mean stands with their members, the venue's codes and statuses in `liqctl.kernel.answers`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from liqctl.kernel.amounts import count, plain
from liqctl.kernel.answers import UNAUTHORISED, AnswerKind, VenueAnswer
from liqctl.kernel.result import OrderReport, PositionReport
from liqctl.kernel.states import ExitCode, OrderState, PositionState, Product
from liqctl.kernel.values import OpenOrder, PositionSide, Snapshot
from liqctl.kernel.witness import Statement

LETS_NOTHING_THROUGH: Final = "the venue lets nothing through"
"""How a ban or a firewall is told; what follows is the venue's own word."""

_NAMED_MAX: Final = 5
PREFIX_LENGTH: Final = 8
_NOT_CLOSED: Final = {PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN}

EXIT_CODES: Final[Mapping[ExitCode, tuple[str, str]]] = {
    ExitCode.DONE: (
        "the account is proven flat in scope, or there was nothing to do; for other commands: done",
        "Nothing. Keep the result's audit_head.",
    ),
    ExitCode.FAILED: (
        "nothing could be closed or cancelled, nothing could be read, or an unexpected error",
        "Run `liqctl status`. If positions are open, run the command again or close by hand.",
    ),
    ExitCode.USAGE: (
        "wrong usage; nothing was sent",
        "Correct the command line. The message names the option.",
    ),
    ExitCode.PARTIAL: (
        (
            "some of the work is proven done, the rest is or may be open (`status --exit-code`: "
            "something is open)"
        ),
        "Read what is left on the screen, run the command again, or close the rest by hand.",
    ),
    ExitCode.CONFIGURATION: (
        "the configuration is invalid; nothing was sent (`validate --strict`: or has warnings)",
        "Correct the keys that the message names, or use flags; then run the command again.",
    ),
    ExitCode.IN_PROGRESS: (
        "a liquidation of this account is already in progress; this run sent nothing",
        "Follow the other run with `liqctl status --watch`. Do not end it.",
    ),
    ExitCode.NOT_CONFIRMED: (
        "not confirmed; nothing was sent",
        "Type the word that the question asks for, or add `--yes` where there is no terminal.",
    ),
    ExitCode.CREDENTIALS: (
        "the key is missing or the venue refused it, and nothing is proven done",
        "Run `liqctl validate --online`, or close by hand now.",
    ),
    ExitCode.AUDIT_INCOMPLETE: (
        (
            "the account is flat, but the audit trail is incomplete or broken (`audit verify`: the "
            "trail is broken)"
        ),
        "The account needs nothing. Keep the output, check the disk, run `liqctl audit verify`.",
    ),
    ExitCode.LATCHED: (
        "`arm` only: it tripped before and was not armed again; nothing is watched",
        (
            "Find out why with `liqctl audit tail --event-type ARM_TRIPPED`, then arm it again "
            "with `liqctl arm --rearm`."
        ),
    ),
    ExitCode.INTERRUPTED: (
        "interrupted by SIGINT (Ctrl-C); what is known is recorded and printed",
        "Run `liqctl status`: positions and orders may still be open.",
    ),
    ExitCode.TERMINATED: (
        "interrupted by SIGTERM; what is known is recorded and printed",
        "Run `liqctl status`: positions and orders may still be open.",
    ),
}
"""What each exit code means, and what the operator does next."""


def exit_code_table() -> str:
    """Return the table of the exit codes in Markdown."""
    rows = ["| exit code | meaning | next |", "| --- | --- | --- |"]
    rows += [f"| {code:d} | {meaning} | {then} |" for code, (meaning, then) in EXIT_CODES.items()]
    return "\n".join(rows)


def explain_refusal(answer: VenueAnswer) -> str:
    """Return why the venue let nothing through, with every likely cause."""
    if answer.kind is AnswerKind.PAUSE:
        until = f"; banned until {answer.banned_until}" if answer.banned_until else ""
        return f"{LETS_NOTHING_THROUGH}: {answer.describe()}{until}"
    said = answer.describe()
    match answer.code:
        case -2008:
            return (
                f"the venue does not know the key: {said}; either the key was deleted, or a demo "
                "key was sent to the live venue or a live key to the demo venue"
            )
        case code if code in {-2014, -2015} or answer.status == UNAUTHORISED:
            return (
                f"the venue refused the key: {said}; either the key or secret is wrong or expired, "
                "or this machine's IP address is not on the key's list, or the key has no futures "
                "permission, or the account is in portfolio margin"
            )
        case -1022:
            return f"the venue refused the signature: {said}; the secret is likely wrong"
        case _:
            return f"the venue refused this key or machine: {said}"


DISARMED: Final = "emergency_liquidation is false: nothing was read, cancelled or closed"


def explain_twin(name: str) -> str:
    """Return why nothing is done for an account that is liquidated under another name."""
    return f"the same account as {name}: it is closed once, under that name"


def explain_unread(snapshot: Snapshot) -> str | None:
    """Return what a reading could not read and why, None when it was complete."""
    names: dict[str, list[str]] = {}
    for name, reason in snapshot.unread.items():
        names.setdefault(reason, []).append(name)
    failed = [f"{' and '.join(those)} ({reason})" for reason, those in names.items()]
    if not failed:
        return None
    product = snapshot.product
    of = f" of {product.shown}" if product is not Product.USDM else ""
    other = next(each for each in Product if each is not product).lower()
    advice = (
        f"; if this key is not meant to trade {product.shown}, leave it out with --product {other} "
        f"or exchange.products: [{other}]"
    )
    refused = snapshot.is_refused and bool(of)
    return f"could not read{of}: {', '.join(failed)}{advice if refused else ''}"


def join_unread(told: Sequence[str | None]) -> str | None:
    """Return what several products could not read, once where all say the same."""
    texts = [text for text in told if text]
    same = {text.replace(f" of {Product.COINM.shown}", "") for text in texts}
    if len(texts) == len(told) and len(same) == 1:
        return same.pop()
    return "; ".join(texts) or None


def explain_positions(positions: Sequence[PositionReport]) -> str | None:
    """Return which positions are or may be open and why, None when all are closed."""
    left = [position for position in positions if position.state in _NOT_CLOSED]
    if not left:
        return None
    named = []
    for each in left[:_NAMED_MAX]:
        remaining = "quantity unknown" if each.remaining is None else plain(each.remaining)
        reason = each.error.message if each.error else "no reason known"
        code = f" (code {each.error.code})" if each.error and each.error.code else ""
        named.append(f"{each.symbol} {each.side} {remaining}: {reason}{code}")
    if len(left) > _NAMED_MAX:
        named.append(f"and {len(left) - _NAMED_MAX} more")
    return f"{_open_of(len(left), len(positions), 'position')}: {'; '.join(named)}"


def explain_orders(orders: Sequence[OrderReport]) -> str | None:
    """Return how many orders are or may be open, None when all are settled."""
    left = [o for o in orders if o.state in {OrderState.FAILED, OrderState.UNKNOWN}]
    if not left:
        return None
    symbols = sorted({order.symbol for order in left})
    return f"{_open_of(len(left), len(orders), 'order')}, on {', '.join(symbols[:_NAMED_MAX])}"


def _open_of(left: int, total: int, noun: str) -> str:
    verb = "is or may be" if left == 1 else "are or may be"
    return f"{left} of {count(total, noun)} {verb} open"


def explain_strangers(ids: Iterable[str], reopened: Sequence[str]) -> str | None:
    """Return that somebody else is trading on the account, with the ids and prefixes seen."""
    ids = list(ids)
    if not ids and not reopened:
        return None
    seen = []
    if reopened:
        seen.append(f"positions appeared again on {', '.join(reopened[:_NAMED_MAX])}")
    if ids:
        prefixes = Counter(order_id[:PREFIX_LENGTH] for order_id in ids)
        common = ", ".join(f"{prefix}…" for prefix, _ in prefixes.most_common(_NAMED_MAX))
        named = ", ".join(ids[:_NAMED_MAX])
        seen.append(f"new orders appeared: {named} (client order ids begin {common})")
    return (
        f"something is still trading on this account: {'; '.join(seen)}. Stop that program or "
        "disable its key, then run again"
    )


def explain_witness(said: Statement | None) -> str | None:
    """Return what a master's key sees open in an account that reads flat, None if nothing."""
    if said is None or not said.is_contradiction:
        return None
    named = ", ".join(said.symbols[:_NAMED_MAX])
    more = len(said.symbols) - _NAMED_MAX
    return (
        f"the account's own lists show nothing open, but the master key sees a position on {named}"
        f"{f' and {more} more' if more > 0 else ''}: look at the account on Binance's website, "
        "close there what is open, and run again"
    )


def explain_silence(said: Statement | None) -> list[str]:
    """Return the sentence about a master's key that says nothing, and why."""
    if said is None or said.why is None:
        return []
    return [f"the master key says nothing of this account, so only its own lists do: {said.why}"]


def explain_watch(watched_s: float, missing: Sequence[str]) -> str:
    """Return why an account that reads flat was not proven flat."""
    why = "; ".join(missing) or "it was not watched for long enough"
    return f"nothing was listed for {watched_s:.1f} s, but that proves nothing: {why}"


def explain_failed_sweeps(
    unanswered: Iterable[str], refused: Iterable[str], spared: Iterable[str]
) -> list[str]:
    """Return the sentences about the symbols whose last cancel of all orders had no success."""
    ends = {
        "sent twice and not answered; the lists show no order there": unanswered,
        "refused twice; the lists show no order there, but one that no list shows "
        "would remain": refused,
        "not sent, because stops of the position that stays open may stand in that book; "
        "an order that no list shows would remain": spared,
    }
    return [
        f"the last cancel of all orders on {named} was {end}"
        for end, symbols in ends.items()
        if (named := ", ".join(sorted(symbols)[:_NAMED_MAX]))
    ]


def explain_kept(orders: Sequence[OrderReport]) -> list[str]:
    """Return one sentence for each protective stop that was kept."""
    return [
        f"kept the protective {order.type or 'stop'} on {order.symbol}"
        f"{'' if order.trigger_price is None else f' at {plain(order.trigger_price)}'} "
        f"(conditional order {order.order_id}): its position is still open"
        for order in orders
        if order.state is OrderState.KEPT
    ]


def explain_contradiction(order: OpenOrder) -> str:
    """Return what an order that can only reduce says of a leg that reads flat."""
    is_one_way = order.position_side is PositionSide.BOTH
    leg = order.symbol if is_one_way else f"{order.symbol} {order.position_side.value}"
    return (
        f"{leg} reads flat, but {order.type or 'an order'} {order.order_id} rests on it that can "
        "only reduce a position: one may be open that the list does not show yet"
    )


def explain_oversized(orders: Iterable[OpenOrder]) -> list[str]:
    """Return one sentence for each stop that was not kept although its leg was open."""
    return [
        f"did not keep the {order.type or 'stop'} on {order.symbol} (conditional order "
        f"{order.order_id}): it trades {plain(order.quantity)}, more than its position held, and "
        "would have opened the rest the other way"
        for order in orders
        if order.quantity is not None
    ]
