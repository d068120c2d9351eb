"""What `validate` says about `arm` beside its single settings: scope, kind of account, weight.

Whether anybody runs `arm` is not in the settings. So an account without guard and heartbeat is
nobody's mistake, and everything here is about what was configured.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from liqctl.checks.issue import Area, Issue, info, risk, warning
from liqctl.desk.text import count
from liqctl.kernel.costs import countdowns_max
from liqctl.kernel.limits import LIMITS_BY_MARGIN, Limits
from liqctl.kernel.pacing import ARMED_WEIGHT_SHARE, COUNTDOWN_WEIGHT_SHARE
from liqctl.kernel.rules import Rule
from liqctl.kernel.states import Margin
from liqctl.settings.values import Settings

_ARMED_SHARE_MAX: Final = 0.5
"""The share of an address' weight that armed processes may take together: a liquidation and the
bots need the rest."""

_OF_EQUITY: Final = frozenset({Rule.MAX_LOSS, Rule.MAX_DRAWDOWN, Rule.MIN_MARGIN_RATIO})


def is_configured(settings: Settings) -> bool:
    """Return whether somebody set what only `arm` uses."""
    arm = settings.arm
    return bool(arm.guards or arm.heartbeat_file or arm.countdown_seconds)


def issues_of_arm(settings: Settings, chosen: Sequence[Settings] = ()) -> Iterator[Issue]:
    """Yield what is to be said about `arm`."""
    environment, arm, policy = settings.environment, settings.arm, settings.liquidation
    if not is_configured(settings):
        return
    if arm.heartbeat_file is not None and not arm.heartbeat_file.is_absolute():
        text = f"{arm.heartbeat_file} is looked for in the folder in which `arm` is started"
        yield risk(environment, Area.DEPLOYMENT, "arm.heartbeat_file", text, "give the whole path")
    if arm.countdown_seconds is not None and policy.margin is Margin.PORTFOLIO:
        text, field = "portfolio margin has no countdown: none will be set", "arm.countdown_seconds"
        yield risk(environment, Area.CONFIGURATION, field, text, "set countdown_seconds to null")
    elif arm.countdown_seconds is not None:
        limit, most = Limits().weight_1m, countdowns_max(arm.countdown_seconds)
        more = COUNTDOWN_WEIGHT_SHARE * limit
        text = (
            f"countdowns come on top of what `arm` takes: up to {more:.0f} more of the {limit} "
            f"request weight a minute, which is enough for {count(most, 'symbol')} with orders "
            "that can open a position"
        )
        advice = "set a longer countdown_seconds if there are more such symbols"
        yield info(Area.PERFORMANCE, "arm.countdown_seconds", text, advice)
    for guard in arm.guards:
        if guard.rule in _OF_EQUITY and policy.symbols:
            text = (
                f"guard {guard} judges the whole account, and a trip closes "
                f"{', '.join(policy.symbols)} only"
            )
            advice = "leave liquidation.symbols empty, or keep it on purpose"
            yield warning(Area.CONFIGURATION, "arm.guards", text, advice)
    limit = LIMITS_BY_MARGIN[policy.margin or Margin.STANDARD].weight_1m
    most = int(_ARMED_SHARE_MAX / ARMED_WEIGHT_SHARE)
    if len(chosen) > most:
        text = (
            f"{count(len(chosen), 'account')} armed at one address would use "
            f"{len(chosen) * ARMED_WEIGHT_SHARE * limit:.0f} of its {limit} request weight a "
            f"minute: each takes up to {ARMED_WEIGHT_SHARE * limit:.0f}, and a liquidation needs "
            "some, too"
        )
        advice = f"arm {most} accounts at one address, the others from another address"
        yield risk(environment, Area.PERFORMANCE, "arm", text, advice)
