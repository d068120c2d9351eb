"""The status documents of the contract as text for people: of one account, or of several.

OPEN and FLAT are said of a whole reading only; all else is UNKNOWN, whatever an earlier look saw.
FLAT is said of one reading, and proven only of a watch: lists lag by up to about two seconds.
With a `height` the text fits that many rows: the worst positions are shown, the rest is summed.
"""

import textwrap
from collections.abc import Mapping
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
    tally,
)
from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.states import Product
from liqctl.settings.values import BUILT_IN

ROWS_MAX: Final = 500
"""Rows of both tables where no terminal sets the limit; --json lists all."""

_RUN_ENDS: Final = ("completed", "partial", "failed", "abandoned")
_KINDS: Final = {Tone.BAD: "OPEN", Tone.DOUBT: "UNKNOWN", Tone.GOOD: "FLAT"}
"""What a reading says of an account, by its tone, worst first."""

_ERROR_MAX: Final = 60
_AROUND_DETAILS: Final = 7
"""Lines of one account's details that are no position or order: name, heads, gaps, sums."""

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

    Of several accounts each is a row, worst first, and what is open in them follows as far as it
    fits. `verbose` adds prices to positions.
    """
    if "statuses" in document:
        return _render_several(document, width=width, colour=colour, verbose=verbose, height=height)
    account, known = document.get("account"), document.get("last_known")
    error, trail_error = document.get("account_error"), document.get("trail_error")
    word, tone = _state(account)
    where = clean(str(document.get("environment")))
    if name := document.get("account_name"):
        where += f" {clean(str(name))}"
    if only := _narrowed(account or {}):
        where += f" ({only})"
    running, watch = document.get("in_progress"), document.get("watch")
    told = "a liquidation is running" if running else "no liquidation runs"
    if running and running.get("hung"):
        told = "a liquidation HANGS"
    at = "" if watch is None else f", {_time_of_day(document.get('looked_at'))}"
    head = f"{paint(word, tone, colour=colour)}: ", f"{where}, {told}{at}"
    # What runs, what died, how the last run ended, and when the next look is taken.
    metrics, last = document.get("metrics") or {}, document.get("last_run") or {}
    ends = tally({name: metrics.get(name) or 0 for name in _RUN_ENDS})
    total = f"{metrics.get('execution_count', 0)}" + (f" ({ends})" if ends else "")
    total += f", {metrics['skipped']} skipped" if metrics.get("skipped") else ""
    names = ("state", "correlation_id", *filter(last.get, ("finished_at", "error_message")))
    last_run = ", ".join(_text(last, name) for name in names) if last else "none recorded"
    runs = labelled(
        *_under_way(document),
        *_standby(document),
        ("last run", f"unknown, {clean(trail_error)}" if trail_error else last_run),
        ("runs", None if trail_error else total),
        *_settings(document),
        *_watching(watch),
    )

    def make(rows: int) -> list[Part]:
        found: list[Part] = [head, ""]
        if account:
            found += _account(account, rows, verbose=verbose)
        found += _unread(error)
        if known:  # The last whole reading, never to be taken for the present.
            age = f"{float(known['age_seconds']):.0f} s ago, before it became unknown"
            found += ["", *labelled(("last seen", age))]
            found += [*_account(known["account"], rows, verbose=verbose), ""]
        return [*found, *runs]

    lines = fit(make(ROWS_MAX), make, width=width, height=height)
    return "\n".join(lines[:height]) + "\n"


def _unread(error: object) -> list[Part]:
    return labelled(("unread", clean(str(error)) if error else None))


def _render_several(
    document: Mapping[str, Any],
    *,
    width: int | None,
    colour: bool,
    verbose: bool,
    height: int | None,
) -> str:

    def badness(status: Mapping[str, Any]) -> tuple[int, Decimal, float]:
        """Return what sorts accounts worst first: open by notional, unread, flat, proven ones."""
        account = status.get("account") or {}
        rank = list(_KINDS).index(_state(account)[1])
        settled_s = float(account.get("settled_seconds") or 0.0)
        return rank, -_amount(account.get("notional")), settled_s

    statuses = sorted(document["statuses"], key=badness)
    states = [_state(status.get("account")) for status in statuses]
    kinds = [_KINDS[tone] for _, tone in states]
    running = [status["in_progress"] for status in statuses if status.get("in_progress")]
    runs = f"{count(len(running), 'liquidation')} running" if running else "no liquidation runs"
    if any(each.get("hung") for each in running):
        runs += ", one HANGS"
    watch = document.get("watch")
    at = "" if watch is None else f", {_time_of_day(max(s['looked_at'] for s in statuses))}"
    told = tally(kinds)
    # Of flat accounts the one that is proven least stands first.
    word, tone = states[0]
    environment = clean(str(document.get("environment")))
    told = f"{environment}, {count(len(statuses), 'account')}: {told}; {runs}{at}"
    head = f"{paint(word, tone, colour=colour)}: ", told
    accounts = [status["account"] for status in statuses if status.get("account")]
    listed = [account.get(noun) or [] for account in accounts for noun in ("positions", "orders")]
    positions, orders = sum(map(len, listed[::2])), sum(map(len, listed[1::2]))
    worth = (_amount(account.get("notional")) for account in accounts)
    is_whole = len(accounts) == len(statuses) and not any(a.get("unread") for a in accounts)
    total = ("" if is_whole else "at least ") + (
        f"{count(positions, 'position')} of {money(sum(worth, Decimal(0)))} notional, "
        f"{count(orders, 'order')}"
    )

    def make(rows: int) -> list[Part]:
        # Each account is a row as long as there are any; what is open in them makes room first.
        shown = max(min(rows, len(statuses)), 1)
        table = Table(
            head=("account", "state", "positions", "notional", "orders", "remarks"),
            rows=[
                _row(status, paint(_KINDS[tone], tone, colour=colour))
                for status, (_, tone) in zip(statuses[:shown], states, strict=False)
            ],
            right={2, 3, 4},
        )
        found: list[Part] = [head, "", table]
        if len(statuses) > shown:
            more = count(len(statuses) - shown, "more account")
            found.append(f"and {more}: {', '.join(dict.fromkeys(kinds[shown:]))}; --json lists all")
        found += ["", *labelled(("open", total))]
        room = rows - shown
        for status in statuses[:shown]:
            account, error = status.get("account") or {}, status.get("account_error")
            needed = len(account.get("positions") or ()) + len(account.get("orders") or ())
            needed += bool(error)
            if needed and room > _AROUND_DETAILS:
                name = paint(clean(str(status["account_name"])), Tone.STRONG, colour=colour)
                found += ["", name]
                if account:
                    most = min(needed, room - _AROUND_DETAILS)
                    found += _account(account, most, verbose=verbose)
                found += _unread(error)
                room -= needed + _AROUND_DETAILS
        is_one_file = len({status.get("config_file") for status in statuses}) == 1
        return found + labelled(*_settings(statuses[0]) if is_one_file else (), *_watching(watch))

    lines = fit(make(ROWS_MAX), make, width=width, height=height)
    return "\n".join(lines[:height]) + "\n"


def _row(status: Mapping[str, Any], state: str) -> tuple[str, ...]:
    """Return an account as a row: its sums, and in words what is odd, runs and ran."""
    account, error = status.get("account") or {}, status.get("account_error")
    unread = set(account.get("unread") or ())
    positions, orders = account.get("positions") or (), account.get("orders") or ()
    words = [only] if (only := _narrowed(account)) else []
    if error:
        words.append(textwrap.shorten(clean(str(error)), _ERROR_MAX, placeholder="…"))
    if account.get("proven"):
        words.append(f"proven over {account['settled_seconds']:.1f} s")
    if known := status.get("last_known"):
        seen = known["account"]
        words.append(
            f"last seen {float(known['age_seconds']):.0f} s ago: "
            f"{count(len(seen['positions']), 'position')} of {_money(seen['notional'])}, "
            f"{count(len(seen['orders']), 'order')}"
        )
    words += [f"{label} {text}".strip() for label, text in _under_way(status)]
    armed, latch = status.get("armed"), status.get("latch")
    if armed and not armed.get("answers"):
        words.append(f"armed process {_text(armed, 'pid')} HANGS")
    elif armed:
        health = _text(armed, "health")
        told = "TRIPPED" if armed.get("tripped") else "armed"
        told += ", only observes" if armed.get("observe") else ""
        words.append(told + (f", {health.upper()}" if health != "armed" else ""))
        near = [_text(g, "rule") for g in armed["guards"] if g.get("level") in {"near", "over"}]
        words += [f"near its limit: {', '.join(near[:_NAMED_MAX])}"] if near else []
    if latch is not None:
        words.append(f"LATCHED since {_text(latch, 'tripped_at')}")
    if last := status.get("last_run"):
        # In one line of 80 columns: the time of a run of today, else its day.
        ended, now = _text(last, "finished_at"), str(status.get("looked_at"))
        day, _, _ = ended.partition("T")
        is_today = now.startswith(day)
        words.append(f"last run {_text(last, 'state')} {_time_of_day(ended) if is_today else day}")
    if status.get("trail_error"):
        words.append("last run unknown, the audit trail cannot be read")
    is_read = bool(account)
    return (
        clean(str(status["account_name"])),
        state,
        str(len(positions)) if positions or (is_read and "positions" not in unread) else "?",
        _money(account.get("notional")),
        str(len(orders)) if orders or (is_read and unread <= {"positions"}) else "?",
        "; ".join(words),
    )


def _state(account: Mapping[str, Any] | None) -> tuple[str, Tone]:
    """Return what a reading says of an account, and its tone."""
    if account and (account.get("positions") or account.get("orders")):
        return "OPEN", Tone.BAD
    if account and account.get("proven"):
        return f"FLAT, proven over {account['settled_seconds']:.1f} s", Tone.GOOD
    if account and account.get("flat"):
        return "FLAT at this reading", Tone.GOOD
    return "UNKNOWN", Tone.DOUBT


def _narrowed(account: Mapping[str, Any]) -> str | None:
    """Return what alone is in scope, None where the whole account is."""
    products = [Product(each).shown for each in account.get("products") or ()]
    scope = account.get("scope") or (products if len(products) == 1 else ())
    names = ", ".join(clean(str(each)) for each in scope[:_NAMED_MAX])
    return f"{names} only" if scope else None


def _time_of_day(moment: object) -> str:
    return f"{clean(str(moment))[_TIME_OF_DAY]} UTC"


def _account(account: Mapping[str, Any], rows_max: int, *, verbose: bool) -> list[Part]:
    """Return tables with so many rows together at most, then the sums and what is odd."""
    positions, orders = account.get("positions") or [], account.get("orders") or []
    # Orders make room first: what is open matters more than what might fill.
    positions_max = rows_max - min(len(orders), rows_max // 3)
    orders_max = rows_max - min(len(positions), positions_max)
    tables: list[Part] = []
    if rows := [
        (
            named(row.get("symbol", "?"), row.get("product")),
            _text(row, "side", "position_side"),
            sized(_text(row, "quantity"), row.get("product")),
            _money(row.get("notional")),
            _money(row.get("unrealized_pnl"), "{:+,.2f}"),
            *((_text(row, "entry_price"), _text(row, "mark_price")) if verbose else ()),
        )
        for row in positions[:positions_max]
    ]:
        head = ["symbol", "side", "quantity", "notional", "PnL", *["entry", "mark"] * verbose]
        tables.append(Table(head=head, rows=rows, right=range(2, len(head))))
        if rest := positions[positions_max:]:
            total = money(sum((abs(_amount(row.get("notional"))) for row in rest), Decimal(0)))
            tables.append(f"and {count(len(rest), 'smaller position')} of {total} notional")
        tables.append("")
    fields = ("side", "type", "order_id")
    cells = [
        [named(row.get("symbol", "?"), row.get("product")), *(_text(row, name) for name in fields)]
        for row in orders[:orders_max]
    ]
    if cells:
        more = f"and {count(len(orders) - orders_max, 'more order')}; --json lists all"
        tables.append(Table(head=("symbol", "side", "order", "id"), rows=cells))
        tables += [*[more] * (len(orders) > orders_max), ""]
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


def _under_way(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    running = document.get("in_progress") or {}
    rows: list[tuple[str, str]] = []
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
    return rows


def _standby(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the armed process is and how near it is to a trip, and a latch that is closed."""
    armed, latch = document.get("armed"), document.get("latch")
    rows: list[tuple[str, str]] = []
    if armed and not armed.get("answers"):
        hangs = "does not answer: it hangs. Next: end it, then arm again"
        rows = [("armed", f"process {_text(armed, 'pid')} {hangs}")]
    elif armed:
        told = f"since {_text(armed, 'armed_since')}, process {_text(armed, 'pid')}"
        told += ", only observes" if armed.get("observe") else ""
        if armed.get("health") != "armed":
            told += f", {_text(armed, 'health').upper()}"
        why = "; ".join(map(clean, armed.get("reasons") or ()))
        told = f"{told}: {why}" if why else told
        if armed.get("tripped"):
            told = f"process {_text(armed, 'pid')} TRIPPED: it closes the account and holds it flat"
        rows = [("armed", told)]
        limit_s = armed.get("heartbeat_limit_seconds")
        age_s = armed.get("heartbeat_age_seconds")
        if limit_s is not None:
            age = "age not known" if age_s is None else f"{age_s:.0f} s old"
            age = "its file is missing" if armed.get("heartbeat_missing") else age
            rows.append(("heartbeat", f"{age}; trips at {limit_s:g} s"))
        for guard in armed["guards"][:_NAMED_MAX]:
            used = parse_decimal(guard.get("used"))
            share = "" if used is None else f", {used * 100:.0f} % of the limit used"
            rows.append(("guard", f"{_text(guard, 'words')}{share}"))
        if (more := len(armed["guards"]) - _NAMED_MAX) > 0:
            rows.append(("", f"and {count(more, 'more guard')}; --json lists all"))
    if latch is not None:
        run = f"; run {_text(latch, 'correlation_id')}" if latch.get("correlation_id") else ""
        told = f"tripped {_text(latch, 'tripped_at')}: {_text(latch, 'why')}{run}"
        rows.append(("latched", told))
        if not armed:
            again = "nothing watches the account. When it may trade again: `liqctl arm --rearm`"
            rows.append(("", again))
    return rows


def _settings(document: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    is_told = "config_file" in document
    file = clean(str(document.get("config_file") or BUILT_IN))
    return [("settings", file if is_told else None)]


def _watching(watch: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not watch:
        return []
    text = f"next look in {float(watch['next_look_seconds']):.0f} s"
    if watch.get("weight_used") is not None:
        text += f"; weight {watch['weight_used']} of {watch.get('weight_limit')}"
    if watch.get("slowed"):
        text += f", {watch.get('weight_used_by_others')} by other programs: less often"
    return [("watching", f"{text}; Ctrl-C ends")]


def _text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first field that is there, made safe to print."""
    return clean(str(next((row[name] for name in names if row.get(name) is not None), "?")))


def _amount(value: object) -> Decimal:
    return parse_decimal(value) or Decimal(0)


def _money(value: object, signed: str = "") -> str:
    amount = parse_decimal(value)
    if amount is None:
        return "?"
    return signed.format(amount) if signed else money(abs(amount))
