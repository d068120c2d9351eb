"""What `validate` says about the section `arm`: what would never trip, or trip by mistake.

Whether anybody runs `arm` is not in the settings. So an account without guard and heartbeat is
nobody's mistake, and everything here is about what was configured.
"""

import stat
from collections.abc import Iterator, Sequence
from typing import Final

from liqctl.checks.issue import Area, Issue, info, risk, warning
from liqctl.desk.text import count
from liqctl.kernel.limits import LIMITS_BY_MARGIN
from liqctl.kernel.pacing import ARMED_WEIGHT_SHARE, COUNTDOWN_RENEWALS
from liqctl.kernel.rules import Rule
from liqctl.kernel.states import Margin
from liqctl.settings.values import Settings

_ARMED_SHARE_MAX: Final = 0.5
"""The share of an address' weight that armed processes may take together: a liquidation and the
bots need the rest."""

_COUNTDOWN_WEIGHT: Final = 10
_MINUTE_S: Final = 60
_OTHERS_WRITE: Final = stat.S_IWOTH
_OF_EQUITY: Final = frozenset({Rule.MAX_LOSS, Rule.MAX_DRAWDOWN, Rule.MIN_MARGIN_RATIO})


def is_configured(settings: Settings) -> bool:
    """Return whether somebody set what only `arm` uses."""
    arm = settings.arm
    return bool(arm.guards or arm.heartbeat_file or arm.countdown_seconds)


def issues_of_arm(settings: Settings, chosen: Sequence[Settings] = ()) -> Iterator[Issue]:
    """Yield what is to be said about `arm`; looks at the heartbeat file, and changes nothing."""
    environment, arm, policy = settings.environment, settings.arm, settings.liquidation
    stream_url = settings.exchange.stream_url
    if stream_url is not None:
        text = f"the listen key, with which anybody reads the account, goes to {stream_url}"
        advice = "leave stream_url null unless this host is meant to see it"
        yield risk(environment, Area.SECURITY, "exchange.stream_url", text, advice)
    if not is_configured(settings):
        return
    if arm.heartbeat_file is not None:
        yield from _heartbeat(settings)
    if arm.countdown_seconds is not None:
        if policy.margin is Margin.PORTFOLIO:
            text = "portfolio margin has no countdown: none will be set"
            yield risk(
                environment,
                Area.CONFIGURATION,
                "arm.countdown_seconds",
                text,
                "set countdown_seconds to null",
            )
        else:
            weight = _COUNTDOWN_WEIGHT * COUNTDOWN_RENEWALS * _MINUTE_S / arm.countdown_seconds
            text = (
                f"countdown_seconds {arm.countdown_seconds:g} costs {weight:.0f} request weight a "
                "minute for each symbol with an opening order; it cancels all orders of the "
                "symbol, also those of others, and closes no position"
            )
            yield info(Area.PERFORMANCE, "arm.countdown_seconds", text)
    scope = set(policy.symbols)
    for guard in arm.guards:
        outside = sorted(set(guard.symbols) - scope) if scope else []
        if outside:
            text = f"guard {guard} watches {', '.join(outside)}, which a trip does not close"
            advice = "add the symbol to liquidation.symbols, or leave symbols empty"
            yield warning(Area.CONFIGURATION, "arm.guards", text, advice)
        elif guard.rule in _OF_EQUITY and scope:
            text = (
                f"guard {guard} judges the whole account, and a trip closes "
                f"{', '.join(sorted(scope))} only"
            )
            advice = "leave liquidation.symbols empty, or keep it on purpose"
            yield warning(Area.CONFIGURATION, "arm.guards", text, advice)
        if guard.rule is Rule.MIN_MARGIN_RATIO and guard.limit <= 1:
            text = f"guard {guard} trips only when the venue liquidates the account: that is at 1"
            advice = "set a limit above 1, such as 1.5"
            yield risk(environment, Area.CONFIGURATION, "arm.guards", text, advice)
    if arm.hold_seconds == 0:
        text = "hold_seconds is 0: after a trip a bot that still runs may open positions again"
        yield info(Area.CONFIGURATION, "arm.hold_seconds", text, "set hold_seconds to 60")
    yield from _weight(settings, chosen)


def _weight(settings: Settings, chosen: Sequence[Settings]) -> Iterator[Issue]:
    margin = settings.liquidation.margin or Margin.STANDARD
    limit = LIMITS_BY_MARGIN[margin].weight_1m
    most = int(_ARMED_SHARE_MAX / ARMED_WEIGHT_SHARE)
    if len(chosen) <= most:
        return
    text = (
        f"{count(len(chosen), 'account')} armed at one address would use "
        f"{len(chosen) * ARMED_WEIGHT_SHARE * limit:.0f} of its {limit} request weight a minute: "
        f"each takes up to {ARMED_WEIGHT_SHARE * limit:.0f}, and a liquidation needs some, too"
    )
    advice = f"arm {most} accounts at one address, the others from another address"
    yield risk(settings.environment, Area.PERFORMANCE, "arm", text, advice)


def _heartbeat(settings: Settings) -> Iterator[Issue]:
    environment, file = settings.environment, settings.arm.heartbeat_file
    assert file is not None  # noqa: S101 - the caller looked
    field, limit_s = "arm.heartbeat_file", settings.arm.heartbeat_seconds
    if not file.is_absolute():
        text = f"{file} is looked for in the folder in which `arm` is started"
        yield risk(environment, Area.DEPLOYMENT, field, text, "give the whole path")
    try:
        folder = file.parent.stat()
        if folder.st_mode & _OTHERS_WRITE and not folder.st_mode & stat.S_ISVTX:
            text = f"anybody may write to {file.parent}, and so keep the heartbeat alive"
            yield risk(environment, Area.SECURITY, field, text, "give it to the bot's user")
        file.stat()
    except FileNotFoundError:
        text = f"{file} is not there: an armed process trips {limit_s:g} s after its start"
        advice = "let the bot touch it before you arm, or pause it with a `.paused` file beside it"
        yield risk(environment, Area.DEPLOYMENT, field, text, advice)
    except OSError as error:
        text = f"{file} cannot be looked at: {error.strerror}; its age would not be known"
        yield risk(environment, Area.DEPLOYMENT, field, text, "let liqctl's user read its folder")
