"""The status document of the contract as text for people."""

from collections.abc import Mapping
from typing import Any, Final

from liqctl.domain.amounts import parse_decimal
from liqctl.report.text import Tone, clean, count, labelled, money, paint, table

ROWS_MAX: Final = 250

_METRICS: Final = ("completed", "partial", "failed", "abandoned")


def render_status(
    document: Mapping[str, Any], *, width: int | None, colour: bool, verbose: bool = False
) -> str:
    """Return what is open, what runs, and how the last run ended; the open account comes first.

    `verbose` adds prices to positions.
    """
    account = document.get("account")
    lines = [_head(document, account, colour=colour), ""]
    if account:
        lines += _account(account, width, verbose=verbose)
    if document.get("account_error"):
        lines += labelled("unread", clean(str(document["account_error"])), width=width)
    running = document.get("in_progress")
    if running:
        text = (
            f"{_text(running, 'correlation_id')}, process {_text(running, 'pid')}, "
            f"since {_text(running, 'started_at')}"
        )
        lines += labelled("running", text, width=width)
    for run in document.get("unfinished_runs") or []:
        if not running or run.get("correlation_id") != running.get("correlation_id"):
            text = f"{_text(run, 'correlation_id')} has no end; the next run closes its record"
            lines += labelled("died", text, width=width)
    lines += labelled("last run", _last_run(document.get("last_run")), width=width)
    lines += labelled("runs", _metrics(document.get("metrics") or {}), width=width)
    return "\n".join(lines) + "\n"


def _head(document: Mapping[str, Any], account: Any, *, colour: bool) -> str:  # noqa: ANN401
    if not account:
        word, tone = "UNKNOWN", Tone.DOUBT
    elif account.get("flat"):
        word, tone = "FLAT", Tone.GOOD
    else:
        word, tone = "OPEN", Tone.BAD
    environment = clean(str(document.get("environment")))
    runs = "a liquidation is running" if document.get("in_progress") else "no liquidation runs"
    return f"{paint(word, tone, colour=colour)}: {environment}, {runs}"


def _account(account: Mapping[str, Any], width: int | None, *, verbose: bool) -> list[str]:
    positions, orders = account.get("positions") or [], account.get("orders") or []
    lines = []
    if positions:
        rows = [
            (
                _text(row, "symbol"),
                _text(row, "side", "position_side"),
                _text(row, "quantity"),
                _money(row.get("notional")),
                _gain(row.get("unrealized_pnl")),
                *((_text(row, "entry_price"), _text(row, "mark_price")) if verbose else ()),
            )
            for row in positions[:ROWS_MAX]
        ]
        head = ["symbol", "side", "quantity", "notional", "PnL"]
        head += ["entry", "mark"] if verbose else []
        lines += [table(head, rows, right=range(2, len(head)), width=width), ""]
    if orders:
        rows = [
            (
                _text(row, "symbol"),
                _text(row, "side"),
                _text(row, "type"),
                _text(row, "order_id"),
            )
            for row in orders[:ROWS_MAX]
        ]
        lines += [table(("symbol", "side", "order", "id"), rows, width=width), ""]
    hidden = max(len(positions) - ROWS_MAX, 0) + max(len(orders) - ROWS_MAX, 0)
    if hidden:
        lines += [f"and {hidden} more; --json lists all", ""]
    total = (
        f"{count(len(positions), 'position')} of {_money(account.get('notional'))} notional, "
        f"{count(len(orders), 'order')}"
    )
    return lines + labelled("open", total, width=width)


def _last_run(run: Mapping[str, Any] | None) -> str:
    if not run:
        return "none recorded"
    parts = [_text(run, "state"), _text(run, "correlation_id")]
    if run.get("finished_at"):
        parts.append(_text(run, "finished_at"))
    if run.get("error_message"):
        parts.append(_text(run, "error_message"))
    return ", ".join(parts)


def _metrics(metrics: Mapping[str, Any]) -> str:
    ends = [f"{metrics[name]} {name}" for name in _METRICS if metrics.get(name)]
    total = str(metrics.get("execution_count", 0))
    if ends:
        total += f" ({', '.join(ends)})"
    return f"{total}, {metrics['skipped']} skipped" if metrics.get("skipped") else total


def _text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first field that is there, made safe to print."""
    return clean(str(next((row[name] for name in names if row.get(name) is not None), "?")))


def _gain(value: object) -> str:
    amount = parse_decimal(value)
    return "?" if amount is None else f"{amount:+,.2f}"


def _money(value: object) -> str:
    amount = parse_decimal(value)
    return "?" if amount is None else money(abs(amount))
