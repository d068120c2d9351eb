"""What `validate --online` asks, for an armed process: at its start, and every hour.

A key loses its rights while a process stands for months: its address changes, or the venue takes
trading from keys without a list of addresses. An armed process that cannot close is degraded.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from liqctl.checks import Level
from liqctl.checks.of_venue import NOT_CHECKED, issues_of_venue
from liqctl.checks.preflight import Preflight, Question
from liqctl.cli.output import out
from liqctl.kernel.pacing import ARMED_CHECK_S
from liqctl.standby.patience import KeptOpen, PatientExchange

if TYPE_CHECKING:
    from liqctl.cli.wiring import Account
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.settings.values import Settings


_AGAIN_S: Final = 60.0
_OF_KEY: Final = frozenset(
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
    errors: dict[str, str] = {}
    while True:
        await asyncio.sleep(exchange.wait_s)
        asked = Preflight(KeptOpen(account.exchange), account.transport)
        try:
            facts = await asked.ask(policy, has_key=True)
            found = [each for each in issues_of_venue(settings, facts) if each.field in _OF_KEY]
        except Exception as error:  # noqa: BLE001 - a fault of ours in a check ends no watch
            found, facts = [], None
            out.error(f"the checks failed by a fault of liqctl itself: {type(error).__name__}")
        for each in found:
            if each.level is Level.ERROR:
                errors[each.field] = each.message
            elif not each.message.startswith(NOT_CHECKED):
                errors.pop(each.field, None)  # What was not answered takes no error back.
            if each.level is Level.WARNING and each.message not in told:
                told.add(each.message)
                out.error(f"{each.message}. Next: {each.recommendation}")
        note(tuple(errors.values()))
        # A venue that does not answer tells nothing of the key; health knows about the venue.
        is_over = facts is not None and Question.REACHABLE not in facts.refusals
        # Processes that were started together do not ask together for ever.
        await asyncio.sleep(random.uniform(0.9, 1.1) * (ARMED_CHECK_S if is_over else _AGAIN_S))
