"""Several accounts behind one address: the key of a request chooses the account.

Each account is a venue of its own, with its own faults, events, orders and markets; what they share
is the request weight, which lives in the venues: a run in virtual time speaks to `venues[NAME]`
itself. What an event does to a market is seen by its account alone, not by who asks without a key.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from liqctl.sim.checks import key_in
from liqctl.sim.streams import read_target
from liqctl.sim.venue import Reply, Request, Venue

MASTER: Final = "master"
"""The name of the owner's own account."""

_LENGTH: Final = 64
_ALIAS_LENGTH: Final = 8


def key_of(name: str) -> str:
    """Return the key of an account, which opens nothing but the simulator.

    >>> key_of("desk-a")
    'simulatorKeydeskXaZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ'
    """
    return _fake("simulatorKey", name)


def secret_of(name: str) -> str:
    """Return the secret that belongs to the key of an account."""
    return _fake("simulatorSecret", name)


def email_of(name: str) -> str:
    """Return the email by which the master knows an account."""
    return f"{name}@simulator.invalid"


def alias_of(name: str) -> str:
    """Return what the balances of an account call it: the same at each reading, telling nothing."""
    return hashlib.sha256(name.encode()).hexdigest()[:_ALIAS_LENGTH]


def _fake(kind: str, name: str) -> str:
    # Names have no capitals, so no two of them become one.
    return f"{kind}{name.replace('-', 'X')}".ljust(_LENGTH, "Z")


@dataclass(slots=True, kw_only=True)
class Address:
    """The accounts behind one address, and the master's own.

    `venues` is by name; two names may lead to one account, each with a key of its own. `subs` has
    each account once, by its email. The keys of the `uncovered` are given to nobody.
    """

    venues: Mapping[str, Venue]
    subs: Mapping[str, Venue]
    master: Venue
    uncovered: frozenset[str] = frozenset()

    @property
    def master_key(self) -> str:
        """The key that reads the positions of all, empty when there is none."""
        return "" if self.master.subs is None else self.master.api_key

    @property
    def master_secret(self) -> str:
        """The secret of that key."""
        return "" if self.master.subs is None else self.master.api_secret

    @property
    def names(self) -> tuple[str, ...]:
        """The names whose keys are given to somebody."""
        return tuple(name for name in self.venues if name not in self.uncovered)

    @property
    def credentials(self) -> dict[str, tuple[str, str]]:
        """Key and secret by each of these names."""
        return {name: (key_of(name), secret_of(name)) for name in self.names}

    def holder_of(self, url: str) -> Venue:
        """Return whose stream an address asks for, the master's venue for a key of nobody."""
        target = read_target(url)
        everybody = (*self.subs.values(), self.master)
        owners = [each for each in everybody if target and each.streams.owns(target.key)]
        return owners[0] if owners else self.master

    def handle(self, request: Request, now_ms: int) -> Reply:
        """Answer one request that arrives at `now_ms` of the caller's clock.

        Who sends no key, or a wrong one, is answered by the master's venue: with what everybody may
        know, or with a refusal.
        """
        key = key_in(request.headers)
        venue = next((each for each in self.subs.values() if key in each.keys), self.master)
        return venue.handle(request, now_ms)
