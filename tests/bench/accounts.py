"""Twenty accounts in one process against a process for each: memory, processor time, seconds.

    python -m tests.bench.accounts [ACCOUNTS]

Both close the same house at a simulator in this process, one after the other.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from liqctl.settings.credentials import variable_part
from liqctl.sim.server import EmbeddedServer
from tests.accounts import make_large_house

_USUAL: Final = 20
_LATENCY_MS: Final = 60


class Cost(NamedTuple):
    """What closing the house took; memory is the sum of what each process used at most."""

    megabytes: float
    cpu_s: float
    seconds: float
    proven: int


def measure(accounts: int, *, in_one: bool) -> Cost:
    """Close a fresh house, in one process or in one for each account."""
    house = make_large_house(accounts=accounts, symbols=10, orders=1, algo=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(house, latency_ms=_LATENCY_MS) as server,
    ):
        address = server.address
        assert address is not None
        settings = Path(folder) / "settings.yaml"
        names = {name: {"products": ["usdm"]} for name in address.names}
        settings.write_text(
            f"environment: simulator\nexchange: {{base_url: '{server.url}'}}\n"
            f"audit: {{log_dir: '{folder}/logs'}}\naccounts: {json.dumps(names)}\n"
        )
        environ = {**os.environ, "XDG_STATE_HOME": folder, "LIQCTL_CONFIG": str(settings)}
        for name, (key, secret) in address.credentials.items():
            own = f"LIQCTL_SIMULATOR_{variable_part(name)}_API"
            environ |= {f"{own}_KEY": key, f"{own}_SECRET": secret}
        chosen = [["--all-accounts"]] if in_one else [["--account", name] for name in names]
        began_at = time.monotonic()
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "liqctl", "liquidate", "--json", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environ,
            )
            for words in chosen
        ]
        megabytes = cpu_s = 0.0
        proven = 0
        for each in started:
            assert each.stdout is not None
            document = json.loads(each.stdout.read())
            results = document.get("results", [document])
            proven += sum(result["verified_flat"] for result in results)
            _, _, usage = os.wait4(each.pid, 0)
            each.returncode = 0
            megabytes += usage.ru_maxrss / 1024
            cpu_s += usage.ru_utime + usage.ru_stime
        return Cost(megabytes, cpu_s, time.monotonic() - began_at, proven)


def main() -> None:
    """Print both, and their ratios."""
    accounts = int(sys.argv[1]) if len(sys.argv) > 1 else _USUAL
    apart, together = measure(accounts, in_one=False), measure(accounts, in_one=True)
    for name, cost in ((f"{accounts} processes", apart), ("one process", together)):
        print(
            f"{name:<14} {cost.megabytes:7.0f} MB {cost.cpu_s:7.2f} s of processor "
            f"{cost.seconds:6.2f} s, {cost.proven} proven flat"
        )
    print(
        f"one process takes {together.megabytes / apart.megabytes:.2f} x the memory, "
        f"{together.cpu_s / apart.cpu_s:.2f} x the processor time, "
        f"{together.seconds / apart.seconds:.2f} x the time"
    )


if __name__ == "__main__":
    main()
