"""The status document of the contract as text for people.

OPEN and FLAT are said of a whole reading only; all else is UNKNOWN, whatever an earlier look saw.
FLAT is said of one reading, and proven only of a watch: lists lag by up to about two seconds.
With a `height` the text fits that many rows: the worst positions are shown, the rest is summed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from liqctl.desk.text import Tone, clean, count, cut, labelled, money, paint, table
from liqctl.kernel.amounts import parse_decimal
from liqctl.settings.values import BUILT_IN

ROWS_MAX: Final = 250

_METRICS: Final = ("completed", "partial", "failed", "abandoned")
_TIME_OF_DAY: Final = slice(11, 19)
_NAMED_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How much is shown, and how wide."""

    width: int | None
    colour: bool
    verbose: bool
    positions_max: int = ROWS_MAX
    orders_max: int = ROWS_MAX


def render_status(
    document: Mapping[str, Any],
    *,
    width: int | None,
    colour: bool,
    verbose: bool = False,
    height: int | None = None,
) -> str:
    """Return what is open, what runs, and how the last run ended; the open account comes first.

    `verbose` adds prices to positions. With a `height` no line is longer than the width either.
    """
    look = _Look(width=width, colour=colour, verbose=verbose)
    if height is None:
        return "\n".join(_lines(document, look)) + "\n"
    positions = orders = height
    while True:
        lines = _lines(document, replace(look, positions_max=positions, orders_max=orders))
        if len(lines) <= height or not (positions or orders):
            break
        # Orders make room first: what is open matters more than what might fill.
        if orders and orders >= positions // 2:
            orders -= 1
        else:
            positions -= 1
    return "\n".join(cut(line, width) for line in lines[:height]) + "\n"


def _lines(document: Mapping[str, Any], look: _Look) -> list[str]:
    account, width = document.get("account"), look.width
    known = document.get("last_known")
    lines = [_head(document, account, colour=look.colour), ""]
    if account:
        lines += _account(account, look)
    if document.get("account_error"):
        lines += labelled("unread", clean(str(document["account_error"])), width=width)
    if known:  # The last whole reading, never to be taken for the present.
        age = f"{float(known['age_seconds']):.0f} s ago, before it became unknown"
        lines += ["", *labelled("last seen", age, width=width)]
        lines += [*_account(known["account"], look), ""]
    lines += _running(document.get("in_progress"), width)
    lines += _dead(document, width)
    if document.get("trail_error"):
        lines += labelled("last run", f"unknown, {clean(document['trail_error'])}", width=width)
    else:
        lines += labelled("last run", _last_run(document.get("last_run")), width=width)
        lines += labelled("runs", _metrics(document.get("metrics") or {}), width=width)
    if "config_file" in document:
        origin = clean(str(document["config_file"] or BUILT_IN))
        lines += labelled("settings", origin, width=width)
    if document.get("watch"):
        lines += labelled("watching", _pace(document["watch"]), width=width)
    return lines


def _head(document: Mapping[str, Any], account: Any, *, colour: bool) -> str:  # noqa: ANN401
    if account and (account.get("positions") or account.get("orders")):
        word, tone = "OPEN", Tone.BAD
    elif account and account.get("proven"):
        word, tone = f"FLAT, proven over {account['settled_seconds']:.1f} s", Tone.GOOD
    elif account and account.get("flat"):
        word, tone = "FLAT at this reading", Tone.GOOD
    else:
        word, tone = "UNKNOWN", Tone.DOUBT
    environment = clean(str(document.get("environment")))
    scope = (account or {}).get("scope") or ()
    if scope:
        environment += f" ({', '.join(clean(str(each)) for each in scope[:_NAMED_MAX])} only)"
    running = document.get("in_progress")
    runs = "a liquidation is running" if running else "no liquidation runs"
    if running and running.get("hung"):
        runs = "a liquidation HANGS"
    is_watch = document.get("watch") is not None
    at = f", {clean(str(document.get('looked_at')))[_TIME_OF_DAY]} UTC" if is_watch else ""
    return f"{paint(word, tone, colour=colour)}: {environment}, {runs}{at}"


def _account(account: Mapping[str, Any], look: _Look) -> list[str]:
    positions, orders = account.get("positions") or [], account.get("orders") or []
    lines = _positions(positions, look) + _orders(orders, look)
    unread = set(account.get("unread") or ())
    exposure = f"{count(len(positions), 'position')} of {_money(account.get('notional'))} notional"
    totals = [
        _total("positions", positions, exposure, is_read="positions" not in unread),
        _total("orders", orders, count(len(orders), "order"), is_read=unread <= {"positions"}),
    ]
    lines += labelled("open", ", ".join(totals), width=look.width)
    for told in (account.get("contradictions") or ())[:_NAMED_MAX]:
        lines += labelled("doubt", clean(str(told)), width=look.width)
    if account.get("silent") and (positions or account.get("proven")):
        told = f"{', '.join(map(clean, account['silent']))} did not answer; the other source did"
        lines += labelled("source", told, width=look.width)
    unknown = account.get("unknown_symbols")
    if unknown:
        names = ", ".join(clean(str(each)) for each in unknown[:_NAMED_MAX])
        lines += labelled("scope", f"the venue does not know {names}", width=look.width)
    return lines


def _total(noun: str, listed: Sequence[object], total: str, *, is_read: bool) -> str:
    if is_read:
        return total
    return f"at least {total}" if listed else f"{noun} not read"


def _positions(positions: Sequence[Mapping[str, Any]], look: _Look) -> list[str]:
    shown, rest = positions[: look.positions_max], positions[look.positions_max :]
    lines = []
    if shown:
        rows = [
            (
                _text(row, "symbol"),
                _text(row, "side", "position_side"),
                _text(row, "quantity"),
                _money(row.get("notional")),
                _money(row.get("unrealized_pnl"), "{:+,.2f}"),
                *((_text(row, "entry_price"), _text(row, "mark_price")) if look.verbose else ()),
            )
            for row in shown
        ]
        head = ["symbol", "side", "quantity", "notional", "PnL"]
        head += ["entry", "mark"] if look.verbose else []
        lines += table(head, rows, right=range(2, len(head)), width=look.width).split("\n")
    if rest and shown:
        amounts = [parse_decimal(row.get("notional")) or Decimal(0) for row in rest]
        total = money(sum(map(abs, amounts), start=Decimal(0)))
        lines += [f"and {count(len(rest), 'smaller position')} of {total} notional"]
    return [*lines, ""] if lines else []


def _orders(orders: Sequence[Mapping[str, Any]], look: _Look) -> list[str]:
    shown, hidden = orders[: look.orders_max], max(len(orders) - look.orders_max, 0)
    lines = []
    if shown:
        rows = [
            (_text(row, "symbol"), _text(row, "side"), _text(row, "type"), _text(row, "order_id"))
            for row in shown
        ]
        lines += table(("symbol", "side", "order", "id"), rows, width=look.width).split("\n")
        if hidden:
            lines += [f"and {count(hidden, 'more order')}; --json lists all"]
    return [*lines, ""] if lines else []


def _running(running: Mapping[str, Any] | None, width: int | None) -> list[str]:
    if not running:
        return []
    if running.get("pid") is None:
        text = "somebody holds the account's lock and does not say who"
        return labelled("running", text, width=width)
    pid = _text(running, "pid")
    text = f"{_text(running, 'correlation_id')}, process {pid}"
    if running.get("user") and running.get("host"):
        text += f" of {_text(running, 'user')} on {_text(running, 'host')}"
    text += f", since {_text(running, 'started_at')}"
    lines = labelled("running", text, width=width)
    if running.get("hung"):
        late_s = float(running.get("seconds_past_deadline") or 0.0)
        advice = (
            f"it is {late_s:.0f} s past its deadline and hangs. Run `liqctl liquidate` again: it "
            f"passes over this one; `kill -9 {pid}` ends it"
        )
        lines += labelled("hangs", advice, width=width)
    elif running.get("running") is False:
        advice = "its process is not seen from here: it runs in another container or as another"
        lines += labelled("", advice, width=width)
    return lines


def _dead(document: Mapping[str, Any], width: int | None) -> list[str]:
    """Return the runs without an end that nobody is working on."""
    running = document.get("in_progress") or {}
    dead = [
        run
        for run in document.get("unfinished_runs") or []
        if not running or run.get("correlation_id") != running.get("correlation_id")
    ]
    lines = []
    for run in dead[:_NAMED_MAX]:
        text = f"{_text(run, 'correlation_id')} has no end; the next run closes its record"
        lines += labelled("died", text, width=width)
    if len(dead) > _NAMED_MAX:
        lines += labelled("", f"and {len(dead) - _NAMED_MAX} more", width=width)
    return lines


def _last_run(run: Mapping[str, Any] | None) -> str:
    if not run:
        return "none recorded"
    told = ("state", "correlation_id", *filter(run.get, ("finished_at", "error_message")))
    return ", ".join(_text(run, name) for name in told)


def _metrics(metrics: Mapping[str, Any]) -> str:
    ends = ", ".join(f"{metrics[name]} {name}" for name in _METRICS if metrics.get(name))
    total = f"{metrics.get('execution_count', 0)}" + (f" ({ends})" if ends else "")
    return f"{total}, {metrics['skipped']} skipped" if metrics.get("skipped") else total


def _pace(watch: Mapping[str, Any]) -> str:
    """Return when the next look is taken, and why so late."""
    text = f"next look in {float(watch['next_look_seconds']):.0f} s"
    used, limit, others = (
        watch.get(name) for name in ("weight_used", "weight_limit", "weight_used_by_others")
    )
    if used is not None:
        text += f"; weight {used} of {limit}"
    if watch.get("slowed"):
        text += f", {others} by other programs: less often"
    return f"{text}; Ctrl-C ends"


def _text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first field that is there, made safe to print."""
    return clean(str(next((row[name] for name in names if row.get(name) is not None), "?")))


def _money(value: object, signed: str = "") -> str:
    amount = parse_decimal(value)
    if amount is None:
        return "?"
    return signed.format(amount) if signed else money(abs(amount))
