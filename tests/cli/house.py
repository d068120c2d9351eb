"""The program and several accounts behind one address, each with a key of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liqctl.sim.scenario import load_scenario
from tests.process.program import Program, program

HOUSE = "house_of_five"


@contextmanager
def house(folder: Path, name: str = HOUSE, **options: Any) -> Iterator[Program]:
    """Yield the program, set up for every account of a house; one refuses its key, one hangs."""
    with program(folder, load_scenario(name), **options) as running:
        address = running.server.address
        assert address is not None
        running.more["accounts"] = dict.fromkeys(address.names)
        for account, (key, secret) in address.credentials.items():
            part = f"LIQCTL_SIMULATOR_{account.upper().replace('-', '_')}_API"
            running.variables |= {f"{part}_KEY": key, f"{part}_SECRET": secret}
        yield running


def open_accounts(running: Program) -> set[str]:
    """Return the accounts on which something is really open."""
    address = running.server.address
    assert address is not None
    return {name for name, venue in address.venues.items() if not venue.account.is_flat}
