"""What `validate --online` asks, for an armed process: at its start, and every hour.

A key loses its rights while a process stands for months: its address changes, or the venue takes
trading from keys without a list of addresses. An armed process that cannot close is degraded.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from liqctl.checks.issue import Level
from liqctl.checks.of_venue import issues_of_venue
from liqctl.checks.preflight import Preflight, Question
from liqctl.cli.output import out
from liqctl.kernel.pacing import ARMED_CHECK_S
from liqctl.standby.patience import KeptOpen, PatientExchange

if TYPE_CHECKING:
    from liqctl.cli.wiring import Account
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.settings.values import Settings


async def check_on(
    settings: "Settings",
    account: "Account",
    policy: "LiquidationConfig",
    exchange: PatientExchange,
    note: Callable[[tuple[str, ...]], None],
) -> None:
    """Ask until cancelled; `note` takes what would keep a liquidation from closing anything.

    What is a risk only is told once on stderr. Nothing is asked while the venue wants to be left
    alone, as `exchange` knows; what it costs is not counted there, for it is asked once an hour.
    """
    told: set[str] = set()
    while True:
        await asyncio.sleep(exchange.wait_s)
        asked = Preflight(KeptOpen(account.exchange), account.transport)
        facts = await asked.ask(policy, has_key=True)
        # A venue that does not answer tells nothing of the key; health knows about the venue.
        if Question.REACHABLE not in facts.refusals:
            found = [each for each in issues_of_venue(settings, facts) if each.field in _OF_KEY]
            note(tuple(each.message for each in found if each.level is Level.ERROR))
            for each in found:
                if each.level is Level.WARNING and each.message not in told:
                    told.add(each.message)
                    out.error(f"{each.message}. Next: {each.recommendation}")
        await asyncio.sleep(ARMED_CHECK_S)


_OF_KEY = frozenset(
    {
        "online.clock",
        "online.key",
        "online.key.addresses",
        "online.key.futures",
        "online.key.trading",
        "online.key.withdrawals",
        "online.symbols",
    }
)
"""What readings do not tell: they know by themselves which product cannot be read."""
