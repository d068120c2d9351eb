"""Status documents as figures for Prometheus, and the file that node_exporter reads them from.

What is not known is absent, never zero: a gauge of 0 positions would silence every alert. Each
figure has the environment as a label, and the account where it has a name, even what is the same
for all accounts: node_exporter refuses a figure that two files in its folder have with the same
labels. An account without a name has no such label, which is the same to Prometheus as an empty
one: rules that match on (environment, account) work for both.
"""

import contextlib
import math
import os
import secrets
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.states import Product
from liqctl.trail.fold import moment

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_MODE: Final = 0o644
"""node_exporter runs as a user of its own."""

_NUMBER_MAX: Final = 1e15
"""No run has more of anything; a trail that was tampered with may say so."""

_HEALTHS: Final = ("armed", "degraded", "blind")
_RUN_STATES: Final = ("completed", "partial", "failed", "skipped", "abandoned")
_LAST_STATES: Final = ("COMPLETED", "PARTIAL", "FAILED", "ABANDONED")

_TABLE: Final = """\
liqctl_build_info|version|The version of liqctl; always 1.
liqctl_metrics_written_timestamp_seconds||When these figures were made.
liqctl_account_flat||1 when a reading showed nothing open in scope, 0 if something.
liqctl_account_exposure|product|Sum of a product's open positions' notionals, in the quote asset.
liqctl_account_open_positions|product|Open positions of a product.
liqctl_account_open_orders|product|Open orders of a product, conditional ones included.
liqctl_account_read_timestamp_seconds||When the account was read.
liqctl_run_in_progress||1 while a liquidation of this account runs.
liqctl_runs_total|state|Runs on record by how they ended; skipped ones sent nothing.
liqctl_unfinished_runs||Runs on record that have no end: under way, or dead.
liqctl_last_run_timestamp_seconds||When the last run ended.
liqctl_last_run_duration_seconds||How long the last run took.
liqctl_last_run_deadline_seconds||How long the last run was allowed to take.
liqctl_last_run_state|state|1 for the state in which the last run ended, 0 for the others.
liqctl_last_run_exit_code||Exit code of the last run's result; a signal's is not in it.
liqctl_last_run_verified_flat||1 when the last run proved the account flat in its scope.
liqctl_last_settled_seconds||How long the last run watched the account flat.
liqctl_last_run_positions|outcome|Positions that the last run found, by what became of them.
liqctl_last_run_orders|outcome|Orders that the last run found, by what became of them.
liqctl_audit_complete||1 when the audit trail is complete and unbroken.
liqctl_drill_last_passed_timestamp_seconds||When the last drill that passed ended.
liqctl_armed||1 while an armed process of this account answers, 0 without one.
liqctl_armed_health|health|1 for the health of the armed process, 0 for the others.
liqctl_guard_used|rule|Share of a guard's limit that is used, 0 to 1; 1 is at the limit.
liqctl_heartbeat_age_seconds||Age of the heartbeat file; +Inf where it is missing.
liqctl_heartbeat_limit_seconds||Age at which the heartbeat trips.
liqctl_trips_total|by|Liquidations that an armed process started, by what tripped it.
liqctl_latched||1 after a trip until somebody arms again, else 0.
"""
"""Each figure, the label that tells its samples apart, and what it means."""

_ROWS: Final = [line.split("|") for line in _TABLE.splitlines()]
CATALOGUE: Final[Mapping[str, str]] = {name: meaning for name, _, meaning in _ROWS}


def render_metrics(
    documents: Iterable[Mapping[str, Any]],
    *,
    version: str,
    written_at: float,
    audit_complete: bool | None = None,
    drill_passed_at: float | None = None,
) -> bytes:
    """Return the text of a metrics file.

    Args:
        documents: what `status --json` prints, one for each account.
        version: liqctl's.
        written_at: now, in seconds since the epoch.
        audit_complete: whether the trail is whole; None when nobody looked.
        drill_passed_at: the last drill that passed, in seconds since the epoch.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    figures = _Figures()
    for document in documents:
        figures.begin(document)
        figures.add("liqctl_build_info", 1, version=version)
        figures.add("liqctl_metrics_written_timestamp_seconds", written_at)
        figures.add_account(document, written_at)
        if not document.get("trail_error"):  # A zero would look like a counter that began anew.
            metrics = document.get("metrics") or {}
            for name in _RUN_STATES:
                figures.add("liqctl_runs_total", metrics[name], state=name.upper())
            running = (document.get("in_progress") or {}).get("correlation_id")
            unfinished = [run["correlation_id"] for run in document.get("unfinished_runs") or []]
            figures.add("liqctl_unfinished_runs", sum(name != running for name in unfinished))
            for cause, number in (document.get("trips") or {}).items():
                figures.add("liqctl_trips_total", number, by=cause)
        figures.add_standby(document)
        figures.add_last_run(document.get("last_run") or {})
        if audit_complete is not None:
            figures.add("liqctl_audit_complete", int(audit_complete))
        if drill_passed_at is not None:
            figures.add("liqctl_drill_last_passed_timestamp_seconds", drill_passed_at)
    registry = CollectorRegistry()
    registry.register(figures)
    return generate_latest(registry)


def markdown_table() -> str:
    """Return the figures as a Markdown table, with the labels that tell their samples apart."""
    rows = [f"| `{name}` | {label} | {meaning} |" for name, label, meaning in _ROWS]
    return "\n".join(["| metric | label | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def write_textfile(path: Path, content: bytes) -> None:
    """Replace the file as a whole, so that no reader ever sees half of it.

    A link in its place is replaced, not followed; the file beside it that it grows in cannot be
    planted beforehand.

    Raises:
        OSError: it cannot be written.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    growing = f".{path.name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(growing, flags, _MODE, dir_fd=folder), "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(content)
        os.replace(growing, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(growing, dir_fd=folder)
        raise
    finally:
        os.close(folder)


class _Figures:
    """Metrics of the catalogue that are known already, as the library wants to collect them."""

    def __init__(self) -> None:
        self._whose: dict[str, str] = {}
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def begin(self, document: Mapping[str, Any]) -> None:
        """Add what follows as figures of the account that the document tells of."""
        name = document.get("account_name")
        self._whose = {"environment": str(document.get("environment", ""))}
        self._whose |= {"account": str(name)} if name else {}

    def add(self, name: str, value: float, **labels: str) -> None:
        """Add one value of a metric; environment and account come first among its labels."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = self._whose | labels
        if name not in self._families:
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            self._families[name] = family(name, CATALOGUE[name], labels=tuple(labels))
        self._families[name].add_metric([*labels.values()], value)

    def collect(self) -> "Iterable[Metric]":
        """Return the metrics in the order in which they were first added."""
        return self._families.values()

    def add_account(self, document: Mapping[str, Any], read_at: float) -> None:
        account, running = document.get("account"), document.get("in_progress")
        if account is not None or running is not None:
            self.add("liqctl_run_in_progress", int(running is not None))
        if account is None:
            return
        unread = account.get("unread") or ()
        positions, orders = account["positions"], account["orders"]
        if positions or orders or not unread:
            self.add("liqctl_account_flat", int(account["flat"]))
        for product in account.get("products") or [Product.USDM]:
            own = [row for row in positions if row.get("product", Product.USDM) == product]
            if "positions" not in unread:
                worth = (parse_decimal(row.get("notional")) or Decimal(0) for row in own)
                exposure = sum(map(abs, worth), Decimal(0))
                self.add("liqctl_account_exposure", float(exposure), product=product)
                self.add("liqctl_account_open_positions", len(own), product=product)
            if not set(unread) - {"positions"}:
                count = sum(row.get("product", Product.USDM) == product for row in orders)
                self.add("liqctl_account_open_orders", count, product=product)
        if not unread:
            self.add("liqctl_account_read_timestamp_seconds", read_at)

    def add_standby(self, document: Mapping[str, Any]) -> None:
        """Add the armed process and the latch; without a key nobody knows whose is whose."""
        if "latch" in document:
            self.add("liqctl_latched", int(document["latch"] is not None))
        if "armed" not in document:
            return
        armed = document["armed"]
        answers = armed is not None and armed.get("answers")
        self.add("liqctl_armed", int(bool(answers)))
        if not answers:
            return
        for health in _HEALTHS:
            self.add("liqctl_armed_health", int(armed.get("health") == health), health=health)
        # Of guards of one rule, such as on two symbols, the one that is nearest to its limit.
        used: dict[str, Decimal] = {}
        for guard in armed.get("guards") or ():
            share = parse_decimal(guard.get("used"))
            if share is not None:
                rule = str(guard.get("rule"))
                used[rule] = max(used.get(rule, share), share)
        for rule, share in used.items():
            self.add("liqctl_guard_used", float(share), rule=rule)
        limit_s, age_s = armed.get("heartbeat_limit_seconds"), armed.get("heartbeat_age_seconds")
        if limit_s is not None:
            self.add("liqctl_heartbeat_limit_seconds", limit_s)
            age_s = math.inf if armed.get("heartbeat_missing") else age_s
            if age_s is not None:
                self.add("liqctl_heartbeat_age_seconds", age_s)

    def add_last_run(self, run: Mapping[str, Any]) -> None:
        ended_at = moment(run.get("finished_at"))
        if ended_at is None:
            return
        self.add("liqctl_last_run_timestamp_seconds", ended_at)
        for state in _LAST_STATES:
            self.add("liqctl_last_run_state", int(run.get("state") == state), state=state)
        for name, key in (
            ("liqctl_last_run_duration_seconds", "duration_seconds"),
            ("liqctl_last_run_deadline_seconds", "timeout_seconds"),
            ("liqctl_last_run_exit_code", "exit_code"),
            ("liqctl_last_run_verified_flat", "verified_flat"),
            ("liqctl_last_settled_seconds", "settled_seconds"),
        ):
            value = run.get(key)
            if isinstance(value, int | float) and abs(value) < _NUMBER_MAX:
                self.add(name, value)
        for noun, done in (("positions", "closed"), ("orders", "cancelled")):
            counts = [run.get(f"{noun}_{end}") for end in ("found", done, "failed")]
            whole = [n for n in counts if isinstance(n, int) and abs(n) < _NUMBER_MAX]
            if len(whole) == len(counts):
                found, good, bad = whole
                for end, value in ((done, good), ("failed", bad), ("other", found - good - bad)):
                    self.add(f"liqctl_last_run_{noun}", value, outcome=end)
