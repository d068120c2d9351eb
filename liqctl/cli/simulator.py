"""`liqctl simulator`: a venue on loopback that other shells, bots and drills can talk to."""

import select
from typing import Final

import typer

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode

_WAKE_MS: Final = 60_000

simulator_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keep a simulated Binance Futures venue running for other shells.",
)


@simulator_app.command("serve", short_help="Serve the venue until Ctrl-C.")
@takes("port", "scenario", "latency_ms", "as_json")
def serve(options: Options) -> None:
    """Serve the venue until Ctrl-C; prints its address, its keys and the variables to set.

    Example: liqctl simulator serve --port 8787
    """
    from liqctl.sim.scenario import load_scenario
    from liqctl.sim.server import EmbeddedServer

    try:
        with EmbeddedServer(
            load_scenario(options.scenario), port=options.port, latency_ms=options.latency_ms
        ) as server:
            process.print_answer(
                _as_json(server.url, server.api_key, server.api_secret, options.scenario)
                if options.as_json
                else _instructions(server.url, server.api_key, server.api_secret)
            )
            _wait_for_signal()
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        reason = (
            f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}; choose another --port"
        )
        raise UsageError(reason) from error


@simulator_app.command("list")
@takes("as_json")
def list_scenarios(options: Options) -> None:
    """List the scenarios: accounts and what goes wrong.

    Example: liqctl simulator list --json
    """
    from liqctl.desk.text import clean, table
    from liqctl.kernel.as_json import dump
    from liqctl.sim.scenario import list_scenarios as find_scenarios
    from liqctl.sim.scenario import load_scenario

    found = [(name, load_scenario(name).description) for name in find_scenarios()]
    if options.as_json:
        rows = [{"name": name, "description": description} for name, description in found]
        process.print_answer(dump({"schema": "liqctl.scenarios/1", "scenarios": rows}))
        return
    lines = [(clean(name), clean(description)) for name, description in found]
    process.print_answer(table(("scenario", "what happens"), lines, width=process.width_of(1)))


def _wait_for_signal() -> None:
    """Sleep; SIGINT and SIGTERM leave from their handler with 130 and 143."""
    nothing = select.poll()
    while process.signals.received is None:
        nothing.poll(_WAKE_MS)
    process.leave(ExitCode.DONE)


def _as_json(url: str, key: str, secret: str, scenario: str) -> str:
    from liqctl.kernel.as_json import dump_line

    return dump_line(
        {
            "schema": "liqctl.simulator/1",
            "base_url": url,
            "api_key": key,
            "api_secret": secret,
            "scenario": scenario,
        }
    )


def _instructions(url: str, key: str, secret: str) -> str:
    """Return what another shell needs; these keys open nothing but this simulator."""
    return f"""simulated venue on {url}; Ctrl-C ends it

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
