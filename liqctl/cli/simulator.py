"""`liqctl simulator`: a venue on loopback that other shells, bots and drills can talk to."""

import select
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from liqctl.sim.address import Address

_WAKE_MS: Final = 60_000

_INSTRUCTIONS: Final = """simulated venue on {url}; Ctrl-C ends it

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
                text = _INSTRUCTIONS.format(
                    url=server.url, key=server.api_key, secret=server.api_secret
                )
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
