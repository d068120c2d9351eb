"""The status document of the contract as text for people.

OPEN and FLAT are said of a whole reading only; all else is UNKNOWN, whatever an earlier look saw.
FLAT is said of one reading, and proven only of a watch: lists lag by up to about two seconds.
With a `height` the text fits that many rows: the worst positions are shown, the rest is summed.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from liqctl.desk.text import (
    EXECUTIONS_UNREAD,
    Part,
    Table,
    Tone,
    clean,
    count,
    fit,
    labelled,
    money,
    named,
    paint,
    sized,
)
from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.states import Product
from liqctl.settings.values import BUILT_IN

ROWS_MAX: Final = 500
"""Rows of both tables where no terminal sets the limit; --json lists all."""

_RUN_ENDS: Final = ("completed", "partial", "failed", "abandoned")
_TIME_OF_DAY: Final = slice(11, 19)
_NAMED_MAX: Final = 8


def render_status(
    document: Mapping[str, Any],
    *,
    width: int | None,
    colour: bool,
    verbose: bool = False,
    height: int | None = None,
) -> str:
    """Return what is open, what runs, and how the last run ended; the open account comes first.

    `verbose` adds prices to positions.
    """
    account, known = document.get("account"), document.get("last_known")
    error = document.get("account_error")

    def make(rows: int) -> list[Part]:
        found: list[Part] = [_head(document, account, colour=colour), ""]
        if account:
            found += _account(account, rows, verbose=verbose)
        found += labelled(("unread", clean(str(error)) if error else None))
        if known:  # The last whole reading, never to be taken for the present.
            age = f"{float(known['age_seconds']):.0f} s ago, before it became unknown"
            found += ["", *labelled(("last seen", age))]
            found += [*_account(known["account"], rows, verbose=verbose), ""]
        return found + labelled(*_runs(document))

    lines = fit(make(ROWS_MAX), make, width=width, height=height)
    return "\n".join(lines[:height]) + "\n"


def _head(document: Mapping[str, Any], account: Any, *, colour: bool) -> Part:  # noqa: ANN401
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
    products = [Product(each).shown for each in (account or {}).get("products") or ()]
    scope = scope or (products if len(products) == 1 else ())
    if scope:
        environment += f" ({', '.join(clean(str(each)) for each in scope[:_NAMED_MAX])} only)"
    running = document.get("in_progress")
    runs = "a liquidation is running" if running else "no liquidation runs"
    if running and running.get("hung"):
        runs = "a liquidation HANGS"
    is_watch = document.get("watch") is not None
    at = f", {clean(str(document.get('looked_at')))[_TIME_OF_DAY]} UTC" if is_watch else ""
    return f"{paint(word, tone, colour=colour)}: ", f"{environment}, {runs}{at}"


def _account(account: Mapping[str, Any], rows: int, *, verbose: bool) -> list[Part]:
    """Return tables with so many rows together at most, then the sums and what is odd."""
    positions, orders = account.get("positions") or [], account.get("orders") or []
    # Orders make room first: what is open matters more than what might fill.
    positions_max = rows - min(len(orders), rows // 3)
    orders_max = rows - min(len(positions), positions_max)
    tables = _positions(positions, positions_max, verbose=verbose) + _orders(orders, orders_max)
    unread, silent = set(account.get("unread") or ()), account.get("silent")
    exposure = f"{count(len(positions), 'position')} of {_money(account.get('notional'))} notional"
    totals = []
    for noun, listed, total, is_read in (
        ("positions", positions, exposure, "positions" not in unread),
        ("orders", orders, count(len(orders), "order"), unread <= {"positions"}),
    ):
        least = f"at least {total}" if listed else f"{noun} not read"
        totals.append(total if is_read else least)
    source = None
    if silent and (positions or account.get("proven")):
        source = f"{', '.join(map(clean, silent))} did not answer"
        source += "; the other source did" if "positions" not in unread else ""
    unknown = (account.get("unknown_symbols") or ())[:_NAMED_MAX]
    names = ", ".join(clean(str(each)) for each in unknown)
    doubts = (account.get("contradictions") or ())[:_NAMED_MAX]
    return tables + labelled(
        ("open", ", ".join(totals)),
        *(("doubt", clean(str(told))) for told in doubts),
        ("source", source),
        ("unread", EXECUTIONS_UNREAD if account.get("unread_beside") else None),
        ("margin", "PORTFOLIO" if account.get("margin") == "PORTFOLIO" else None),
        ("scope", f"the venue does not know {names}" if unknown else None),
    )


def _positions(
    positions: Sequence[Mapping[str, Any]], rows_max: int, *, verbose: bool
) -> list[Part]:
    shown, rest = positions[:rows_max], positions[rows_max:]
    if not shown:
        return []
    rows = [
        (
            named(row.get("symbol", "?"), row.get("product")),
            _text(row, "side", "position_side"),
            sized(_text(row, "quantity"), row.get("product")),
            _money(row.get("notional")),
            _money(row.get("unrealized_pnl"), "{:+,.2f}"),
            *((_text(row, "entry_price"), _text(row, "mark_price")) if verbose else ()),
        )
        for row in shown
    ]
    head = ["symbol", "side", "quantity", "notional", "PnL", *["entry", "mark"] * verbose]
    parts: list[Part] = [Table(head=head, rows=rows, right=range(2, len(head)))]
    if rest:
        amounts = [parse_decimal(row.get("notional")) or Decimal(0) for row in rest]
        total = money(sum(map(abs, amounts), start=Decimal(0)))
        parts.append(f"and {count(len(rest), 'smaller position')} of {total} notional")
    return [*parts, ""]


def _orders(orders: Sequence[Mapping[str, Any]], rows_max: int) -> list[Part]:
    fields = ("side", "type", "order_id")
    rows = [
        [named(row.get("symbol", "?"), row.get("product")), *(_text(row, name) for name in fields)]
        for row in orders[:rows_max]
    ]
    if not rows:
        return []
    parts: list[Part] = [Table(head=("symbol", "side", "order", "id"), rows=rows)]
    if len(orders) > rows_max:
        parts.append(f"and {count(len(orders) - rows_max, 'more order')}; --json lists all")
    return [*parts, ""]


def _runs(document: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return what runs, what died, how the last run ended, and when the next look is taken."""
    running = document.get("in_progress") or {}
    rows: list[tuple[str, str | None]] = []
    if running and running.get("pid") is None:
        rows = [("running", "somebody holds the account's lock and does not say who")]
    elif running:
        pid = _text(running, "pid")
        text = f"{_text(running, 'correlation_id')}, process {pid}"
        if running.get("user") and running.get("host"):
            text += f" of {_text(running, 'user')} on {_text(running, 'host')}"
        rows = [("running", f"{text}, since {_text(running, 'started_at')}")]
        if running.get("hung"):
            late_s = float(running.get("seconds_past_deadline") or 0.0)
            advice = (
                f"it is {late_s:.0f} s past its deadline and hangs. Run `liqctl liquidate` again: "
                f"it passes over this one; `kill -9 {pid}` ends it"
            )
            rows.append(("hangs", advice))
        elif running.get("running") is False:
            advice = "its process is not seen from here: it runs in another container or as another"
            rows.append(("", advice))
    # The runs without an end that nobody is working on.
    unfinished = document.get("unfinished_runs") or []
    working = running.get("correlation_id")
    dead = [run for run in unfinished if not running or run.get("correlation_id") != working]
    for run in dead[:_NAMED_MAX]:
        text = f"{_text(run, 'correlation_id')} has no end; the next run closes its record"
        rows.append(("died", text))
    if len(dead) > _NAMED_MAX:
        rows.append(("", f"and {len(dead) - _NAMED_MAX} more"))
    last, metrics = document.get("last_run") or {}, document.get("metrics") or {}
    if trail_error := document.get("trail_error"):
        rows.append(("last run", f"unknown, {clean(trail_error)}"))
    else:
        told = ("state", "correlation_id", *filter(last.get, ("finished_at", "error_message")))
        named = ", ".join(_text(last, name) for name in told) if last else "none recorded"
        ends = ", ".join(f"{metrics[name]} {name}" for name in _RUN_ENDS if metrics.get(name))
        total = f"{metrics.get('execution_count', 0)}" + (f" ({ends})" if ends else "")
        total += f", {metrics['skipped']} skipped" if metrics.get("skipped") else ""
        rows += [("last run", named), ("runs", total)]
    if "config_file" in document:
        rows.append(("settings", clean(str(document["config_file"] or BUILT_IN))))
    if watch := document.get("watch"):
        text = f"next look in {float(watch['next_look_seconds']):.0f} s"
        if watch.get("weight_used") is not None:
            text += f"; weight {watch['weight_used']} of {watch.get('weight_limit')}"
        if watch.get("slowed"):
            text += f", {watch.get('weight_used_by_others')} by other programs: less often"
        rows.append(("watching", f"{text}; Ctrl-C ends"))
    return rows


def _text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first field that is there, made safe to print."""
    return clean(str(next((row[name] for name in names if row.get(name) is not None), "?")))


def _money(value: object, signed: str = "") -> str:
    amount = parse_decimal(value)
    if amount is None:
        return "?"
    return signed.format(amount) if signed else money(abs(amount))
