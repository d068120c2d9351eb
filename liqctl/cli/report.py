"""`liqctl report`: the incident report of a run, from the trail, to be finished by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

from liqctl.cli import process, trails
from liqctl.cli.options import Options, takes
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqctl.desk.incident import Incident


@takes(
    *("run", "html", "logs", "environment", "config_file", "offline", "as_json"),
    environment="Whose log_dir to read.",
    as_json="Print the facts as JSON.",
)
def report(options: Options) -> int:
    """Write the incident report of a run as Markdown: what happened, to what, what it cost.

    Needs no key. If the key of the run is set, it asks the venue for profit and fees, too; else
    the report says why they are missing. Exit codes: 0 written, 1 there is no such run, 2 usage.

    Example: liqctl report liq_20260102_103000_abc123 --html > incident.html
    """
    paths = [
        trails.find_trail(log, options.environment, options.config_file)
        for log in (options.logs or (None,))
    ]
    return trails.reading(paths[0], lambda: _report(paths, options), as_json=options.as_json)


def _report(paths: "Sequence[Path]", options: Options) -> int:
    incident = gather_incident(
        paths, options.run, config=options.config_file, is_offline=options.offline
    )
    if incident is None:
        message = trails.explain_unknown_run(paths, options.run)
        return trails.fail(message, as_json=options.as_json)
    if not incident.audit.is_intact:
        process.print_error(
            "liqctl: the record of this run is not whole, see the report's proof: "
            + "; ".join(incident.audit.problems)
        )
    trails.answer(render_incident(incident, html=options.html, as_json=options.as_json))
    return ExitCode.DONE


def gather_incident(
    paths: "Sequence[Path]", correlation_id: str, *, config: Path | None, is_offline: bool
) -> "Incident | None":
    """Return what the trail, and the venue unless `is_offline`, tell of a run; None if nothing."""
    from liqctl.cli.trade_reading import read_trades
    from liqctl.desk.incident import make_incident
    from liqctl.desk.money import closing_orders
    from liqctl.trail.fold import fold_run
    from liqctl.trail.reading import read_later_runs, read_run

    run = read_run(paths, correlation_id)
    if not run.records:
        return None
    first = run.records[0]
    orders = closing_orders(fold_run(run.records))
    return make_incident(
        run.records,
        chain=run.chain,
        later=read_later_runs(paths, after=first, correlation_id=correlation_id),
        reading=read_trades(run.records, orders, config=config, is_offline=is_offline),
    )


def render_incident(incident: "Incident", *, html: bool, as_json: bool = False) -> str:
    """Return the report as Markdown, as a page or as JSON."""
    if as_json:
        from liqctl.kernel.as_json import dump

        return dump(incident)
    if html:
        from liqctl.desk.report import render_page

        return render_page(incident)
    from liqctl.desk.report import render_markdown

    return render_markdown(incident)
