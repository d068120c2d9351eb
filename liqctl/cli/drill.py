"""`liqctl drill`, `simulator`: everything that is practised against the simulated venue.

A drill holds the catalogue of trouble against the operator's own settings, in good time. It speaks
to the venue in this process only, whatever the environment: its settings are used, its host and its
keys are not. `simulator` is a venue on loopback that other shells, bots and drills can talk to.
"""

import contextlib
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, read_plain, takes
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode, Product

if TYPE_CHECKING:
    from liqctl.drill.document import Report
    from liqctl.drill.runs import Exercise
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.settings.values import Settings
    from liqctl.sim.address import Address

_TELL_EVERY_S: Final = 1.0
_CARD_LINES: Final = 16
"""Lines of the card that are no scenario, and the prompt under it."""

_NOTE_LINES: Final = 3
_ROWS_MIN: Final = 5

_WAKE_MS: Final = 60_000

_OF_ONE: Final = """simulated venue on {url}; Ctrl-C ends it

In another shell:
  export LIQCTL_EXCHANGE__BASE_URL={url}
  export LIQCTL_SIMULATOR_API_KEY={key}
  export LIQCTL_SIMULATOR_API_SECRET={secret}
  liqctl status --env simulator
  liqctl liquidate --env simulator

Or in a file, given with --config, together with the two keys above:
  environment: simulator
  exchange:
    base_url: {url}
"""
"""What another shell needs; these keys open nothing but this simulator."""

_OF_SEVERAL: Final = """simulated venue on {url} with several accounts; Ctrl-C ends it

In another shell, with the file below as FILE:
{exports}
  liqctl status --env simulator --config FILE --all-accounts
  liqctl liquidate --env simulator --config FILE --all-accounts

The file:
  environment: simulator
  exchange:
    base_url: {url}
  accounts:
{accounts}
"""


@takes(
    *("environment", "config_file", "accounts", "scenarios", "real", "repeat", "latency"),
    *("timeout", "max_retries", "retry_delay", "settle", "as_json", "no_color", "verbose"),
    environment="Whose settings.",
    accounts="With the scope of this account. Default: what the settings say of all.",
    timeout="Try this deadline instead, in seconds, 1 to 30.",
    max_retries="Try this number of repeats instead, 0 to 10.",
    retry_delay="Try this wait before the first repeat instead, in seconds, 0.1 to 5.",
    scenarios="Only this one of those that --verbose lists, or a YAML file; repeatable.",
    verbose="Show every scenario and every problem.",
)
def drill(options: Options) -> ExitCode:
    """Run every failure scenario with your settings; show whether the deadline is long enough.

    Uses a simulated venue in this process and the settings of --env; needs no key.
    Exit codes: 0 all ended as they should, 1 some ended worse, 2 usage, 4 configuration,
    8 all passed, but the drill could not be recorded, 130 stopped.

    Example: liqctl drill --env production
    """
    from liqctl.drill import DRILLS_NAME, append_row

    try:
        settings = options.settings()
        if len(options.accounts) > 1:
            raise UsageError("a drill takes the scope of one account; give --account once")  # noqa: TRY301
        if options.accounts:
            (settings,) = options.chosen(settings)
        exercises = _exercises(options, settings.liquidation)
    except (UsageError, ConfigurationError) as error:
        if options.as_json:
            from liqctl.drill.document import refusal
            from liqctl.kernel.as_json import dump

            out.answer(dump(refusal(str(error), environment=options.environment)))
        raise
    report = _hold(options, settings, exercises)
    record = settings.audit.log_dir / DRILLS_NAME
    problem = append_row(record, report.row())
    if problem is not None:
        out.error(f"the drill could not be recorded in {record}: {problem}")
    from liqctl.drill.document import ROWS, render_drill

    rows: int | None = ROWS
    height = out.height_of(STDOUT)
    if options.verbose:
        rows = None
    elif height is not None:
        # As many scenarios as fit the terminal together with the rest of the card.
        rows = max(height - _CARD_LINES - len(report.notes()) * _NOTE_LINES, _ROWS_MIN)
    out.document(
        report.as_json(record_problem=problem),
        options,
        lambda document, **size: render_drill(document, rows=rows, record=str(record), **size),
    )
    if not report.passed:
        return ExitCode.FAILED
    return ExitCode.DONE if problem is None else ExitCode.AUDIT_INCOMPLETE


def _exercises(options: Options, policy: "LiquidationConfig") -> "list[Exercise]":
    """Return what to run; raises UsageError for a scenario that cannot be read or followed."""
    from liqctl.drill.armed import SCRIPTS, scenario_of
    from liqctl.drill.runs import Exercise
    from liqctl.sim.scenario import list_scenarios, load_scenario

    # Simulated accounts have symbols and a kind of their own.
    policy = replace(policy, symbols=(), margin=None)
    exercises = []
    for name in dict.fromkeys(options.scenarios or (*list_scenarios(), *SCRIPTS)):
        try:
            scenario = scenario_of(name) if name in SCRIPTS else load_scenario(name)
        except ConfigurationError as error:
            raise UsageError(str(error)) from error
        own = narrowed(policy, scenario.expect.arguments, name)
        exercises.append(Exercise(scenario=scenario, policy=own, script=SCRIPTS.get(name)))
    return exercises


def narrowed(
    policy: "LiquidationConfig", arguments: Sequence[str], name: str
) -> "LiquidationConfig":
    """Return the policy with what a scenario gives `liqctl liquidate` besides."""
    if not arguments:
        return policy
    options = read_plain(arguments, {})
    if options is None or options.dry_run:
        raise UsageError(f"scenario {name} has arguments that a drill cannot follow: {arguments}")
    if not policy.emergency_liquidation:
        return policy
    changes: dict[str, Any] = {
        key.rpartition(".")[2]: value for key, value in options.flags.items()
    }
    if "symbols" in changes:
        # They may be of a product that the account leaves out.
        changes.setdefault("products", tuple(Product))
    return replace(policy, **changes)


def _hold(options: Options, settings: "Settings", exercises: "Sequence[Exercise]") -> "Report":
    """Run the exercises beside a scratch trail and return what came of it."""
    from liqctl.drill import find_fault, scratch_folder
    from liqctl.drill.armed import play
    from liqctl.drill.document import Report
    from liqctl.drill.runs import Conditions, Course, Mode, Stop, hold
    from liqctl.run import SystemClock
    from liqctl.trail.writer import AuditLogger

    clock, stop = SystemClock(), Stop()
    started_at = clock.now()
    told_at = 0.0

    def tell(text: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= _TELL_EVERY_S:
            told_at = time.monotonic()
            out.progress(f"drill {text}")

    # Until the very end: a signal that comes while the drill is recorded changes the code only.
    process.signals.shield(stop.request, said="stopping the drill; again to leave at once")
    problem, events, trail = None, 0, None
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder(settings.audit.log_dir))
            trail = AuditLogger(folder, environment=settings.environment.value)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        course = Course(
            exercises=exercises,
            conditions=Conditions(
                latency_s=options.latency / 1000,
                recv_window_ms=settings.exchange.recv_window_ms,
                environment=settings.environment,
                trail=trail,
            ),
            mode=Mode.REAL if options.real else Mode.VIRTUAL,
            repeat=options.repeat,
        )
        scores = [*hold(course, stop, tell), *play(course, stop, tell)]
        if trail is not None:
            problem = find_fault(trail, stopped=stop.requested)
            with contextlib.suppress(OSError):
                events = trail.path.read_bytes().count(b"\n")
            trail.close()
    return Report(
        course=course,
        scores=scores,
        settings=settings,
        started_at=started_at,
        finished_at=clock.now(),
        overridden=tuple(key.rpartition(".")[2] for key in options.flags),
        whole_catalogue=not options.scenarios,
        interrupted=stop.requested,
        trail_problem=problem,
        events=events,
    )


@takes(*("port", "scenario", "latency_ms", "as_json"), short_help="Serve the venue until Ctrl-C.")
def serve(options: Options) -> ExitCode:
    """Serve the venue until Ctrl-C; prints its address, its keys and the variables to set.

    Example: liqctl simulator serve --port 8787
    """
    from liqctl.kernel.as_json import dump_line
    from liqctl.sim.scenario import load_scenario
    from liqctl.sim.server import EmbeddedServer

    try:
        with EmbeddedServer(
            load_scenario(options.scenario), port=options.port, latency_ms=options.latency_ms
        ) as server:
            if options.as_json:
                document: dict[str, Any] = {
                    "schema": "liqctl.simulator/1",
                    "base_url": server.url,
                    "api_key": server.api_key,
                    "api_secret": server.api_secret,
                    "scenario": options.scenario,
                }
                if server.address is not None:
                    document["accounts"] = {
                        name: {"api_key": key, "api_secret": secret}
                        for name, (key, secret) in server.address.credentials.items()
                    }
                text = dump_line(document)
            elif server.address is not None:
                text = _tell_of_several(server.address, server.url)
            else:
                text = _OF_ONE.format(url=server.url, key=server.api_key, secret=server.api_secret)
            out.answer(text)
            nothing = select.poll()
            # SIGINT and SIGTERM leave from their handler, with 130 and 143.
            while process.signals.received is None:
                nothing.poll(_WAKE_MS)
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        reason = (
            f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}; choose another --port"
        )
        raise UsageError(reason) from error
    return ExitCode.DONE


def _tell_of_several(address: "Address", url: str) -> str:
    """Return what another shell needs for each account, and for the master."""
    credentials = dict(address.credentials)
    if address.master_key:
        credentials["master"] = (address.master_key, address.master_secret)
    exports = [
        f"  export LIQCTL_SIMULATOR_{name.upper().replace('-', '_')}_API_{kind}={value}"
        for name, pair in credentials.items()
        for kind, value in zip(("KEY", "SECRET"), pair, strict=True)
    ]
    accounts = [f"    {name}: {{}}" for name in address.names]
    return _OF_SEVERAL.format(url=url, exports="\n".join(exports), accounts="\n".join(accounts))


@takes("as_json")
def list_scenarios(options: Options) -> None:
    """List the scenarios: accounts and what goes wrong.

    Example: liqctl simulator list --json
    """
    from liqctl.desk.text import Table, clean, show
    from liqctl.sim.scenario import list_houses, list_scenarios, load_scenario

    names = [*list_scenarios(), *list_houses()]
    found = [(name, load_scenario(name).description) for name in names]
    rows = [{"name": name, "description": description} for name, description in found]
    lines = [(clean(name), clean(description)) for name, description in found]
    table = Table(head=("scenario", "what happens"), rows=lines)
    out.document(
        {"schema": "liqctl.scenarios/1", "scenarios": rows},
        options,
        lambda _, *, width, **__: show([table], width=width),
    )
