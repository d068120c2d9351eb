"""What `validate` says about settings that load: risks, oddities, and what changed.

Pure. Findings never stop `liquidate`; production is judged by the strictest measure, elsewhere
most of it is INFO. Whether anybody runs `arm` is not in the settings: an account without guard and
heartbeat is nobody's mistake.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from liqctl.checks import (
    Area,
    Issue,
    Level,
    error,
    info,
    of_account,
    risk,
    warning,
)
from liqctl.desk.text import count
from liqctl.kernel.costs import armed_costs, countdowns_max, look_weight, positions_weight
from liqctl.kernel.limits import LIMITS_BY_MARGIN, Limits
from liqctl.kernel.pacing import (
    ARMED_WEIGHT_SHARE,
    COUNTDOWN_WEIGHT_SHARE,
    RESERVE_MAX_S,
    RESERVE_SHARE,
)
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule, product_of
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.settings.model import TABLE, Kind
from liqctl.settings.values import Settings

_TIMEOUT_MIN_S: Final = 3.0
_TIMEOUT_USUAL_S: Final = 5.0
_RETRIES_MAX: Final = 5
_RETRIES_USUAL: Final = 3
_DELAY_MAX_S: Final = 2.0
_JITTER_MAX: Final = 1.2
_CANCELS: Final = 10
"""Weight of an account's cancels: a few symbols, both books. A guess; a reading tells."""

_LAG_S: Final = 2.0
"""How long the venue's lists were seen to lag behind what came to be."""

_COUNTDOWN_MIN_S: Final = 30.0
"""The venue advises against short countdowns: renewed four times in its length, one lost renewal
or two must not cancel the orders of a healthy account."""

_LIQUIDATED_BELOW: Final = {Margin.STANDARD: 1.0, Margin.PORTFOLIO: 1.05}
"""The ratio at which the venue itself liquidates."""

_ORDERS_1M: Final = 1200
"""Orders of a minute that the venue takes at most, unless the account has a higher limit."""

_ARMED_SHARE_MAX: Final = 0.5
"""The share of an address' weight that armed processes may take together: a liquidation and the
bots need the rest."""

_OF_EQUITY: Final = frozenset({Rule.MAX_LOSS, Rule.MAX_DRAWDOWN, Rule.MIN_MARGIN_RATIO})
_WORK_S: Final = 1.0
"""What cancelling and closing take before flat can be seen: a few round trips and one repeat of a
refused order. A guess; `validate --online` measures the round trip."""


def issues_of_settings(settings: Settings, chosen: Sequence[Settings] = ()) -> Iterator[Issue]:
    """Yield what is to be said about the settings themselves.

    `chosen` are those of the accounts that are checked, where there are several.
    """
    chosen = chosen or [settings]
    environment, policy = settings.environment, settings.liquidation
    in_production = environment is Environment.PRODUCTION
    if not policy.emergency_liquidation:
        level = Level.CRITICAL if in_production else Level.WARNING
        text = "the switch is disarmed: every liquidation ends SKIPPED and sends nothing"
        advice = "set emergency_liquidation, close_positions and cancel_orders to true"
        field = "liquidation.emergency_liquidation"
        yield Issue(level, Area.CONFIGURATION, field, text, advice)
    else:
        if not policy.close_positions:
            text = "positions stay open in an emergency"
            advice = "set close_positions to true; --orders-only serves the single case"
            field = "liquidation.close_positions"
            yield risk(environment, Area.CONFIGURATION, field, text, advice)
        if not policy.cancel_orders:
            text = "open orders stay, and may open positions again"
            advice = "set cancel_orders to true; --positions-only serves the single case"
            yield info(Area.CONFIGURATION, "liquidation.cancel_orders", text, advice)
    # What all accounts inherit of their scope is said once.
    common = list(_issues_of_scope(settings))
    told: dict[Issue, None] = {}
    for its in chosen:
        for issue in _issues_of_scope(its):
            is_own = its.account is not None and issue not in common
            key = issue.field.rpartition(".")[2]
            told[of_account(its.account, replace(issue, field=key)) if is_own else issue] = None
    yield from told
    if settings.exchange.base_url is not None:
        text = f"requests and the key go to {settings.exchange.base_url}"
        advice = "leave base_url null unless this host is meant to see the key"
        yield risk(environment, Area.SECURITY, "exchange.base_url", text, advice)
    if in_production:
        yield from _production_numbers(policy)
    waits_s = policy.retry_delay_seconds * (2**policy.max_retries - 1) * _JITTER_MAX
    if waits_s > policy.timeout_seconds:
        text = (
            f"{policy.max_retries} repeats may wait {waits_s:.1f} s, more than "
            f"timeout_seconds {policy.timeout_seconds}: the last ones will not happen"
        )
        advice = "lower max_retries or retry_delay_seconds, or raise timeout_seconds"
        yield risk(environment, Area.PERFORMANCE, "liquidation.retry_delay_seconds", text, advice)
    if settings.exchange.stream_url is not None:
        text = f"the account's events come from {settings.exchange.stream_url}"
        advice = "leave stream_url null unless this host is meant to see every order and position"
        yield risk(environment, Area.SECURITY, "exchange.stream_url", text, advice)
    if policy.emergency_liquidation:
        yield from _settling(environment, policy)
    yield from _weight(environment, chosen)
    yield from _arming(settings)


def _issues_of_scope(settings: Settings) -> Iterator[Issue]:
    environment, policy = settings.environment, settings.liquidation
    in_production = environment is Environment.PRODUCTION
    if policy.emergency_liquidation and policy.symbols:
        text = f"only {', '.join(policy.symbols)} is in scope; everything else stays open"
        advice = "leave symbols empty; --symbol serves the single case"
        yield info(Area.CONFIGURATION, "liquidation.symbols", text, advice)
    left_open = [each.shown for each in Product if each not in policy.products]
    if left_open and in_production:
        text = f"{left_open[0]} futures are out of scope: their positions and orders stay open"
        advice = "set products to [usdm, coinm]; --product serves the single case"
        yield info(Area.CONFIGURATION, "exchange.products", text, advice)
    if policy.margin is not None and in_production:
        text = (
            f"margin is {settings.exchange.margin}: should the account be changed to the other "
            "kind, nothing of it can be read, and nothing is closed"
        )
        yield info(Area.CONFIGURATION, "exchange.margin", text, "set margin to auto")


def _weight(environment: Environment, chosen: Sequence[Settings]) -> Iterator[Issue]:
    """Yield that one address has too little request weight a minute for so many accounts."""
    pools: dict[Limits, list[int]] = {}
    for its in chosen:
        policy = its.liquidation
        limits = LIMITS_BY_MARGIN[policy.margin or Margin.STANDARD]
        need = positions_weight(policy) + look_weight(policy) + _CANCELS
        pools.setdefault(limits, []).append(need)
    for limits, needs in pools.items():
        if sum(needs) <= limits.weight_1m:
            continue
        fitting = limits.weight_1m * len(needs) // sum(needs)
        text = (
            f"{len(needs)} accounts need about {sum(needs)} request weight to be proven flat, and "
            f"one address has {limits.weight_1m} in a minute: enough for about {fitting}. The "
            "larger accounts come first; the others are closed, too, and end PARTIAL unless "
            "the proof finds weight before the deadline"
        )
        advice = (
            "narrow products or symbols of accounts that do not trade all of them, or run some of "
            "the accounts from a second address"
        )
        yield risk(environment, Area.PERFORMANCE, "accounts", text, advice)


def _production_numbers(policy: LiquidationConfig) -> Iterator[Issue]:
    chosen = "keep it only if it was chosen on purpose"
    timeout, field = policy.timeout_seconds, "liquidation.timeout_seconds"
    if timeout < _TIMEOUT_MIN_S:
        text = f"timeout_seconds {timeout} is too short for production, at least {_TIMEOUT_MIN_S}"
        advice = f"set timeout_seconds to {_TIMEOUT_USUAL_S}"
        yield error(Area.CONFIGURATION, field, text, advice)
    elif timeout != _TIMEOUT_USUAL_S:
        text = f"timeout_seconds is {timeout}, the tried value is {_TIMEOUT_USUAL_S}"
        yield info(Area.CONFIGURATION, field, text, chosen)
    retries, field = policy.max_retries, "liquidation.max_retries"
    if retries == 0 or retries > _RETRIES_MAX:
        text = f"max_retries {retries} is unusual for production: 1 to {_RETRIES_MAX} is usual"
        yield warning(Area.CONFIGURATION, field, text, f"set max_retries to {_RETRIES_USUAL}")
    elif retries != _RETRIES_USUAL:
        text = f"max_retries is {retries}, the tried value is {_RETRIES_USUAL}"
        yield info(Area.CONFIGURATION, field, text, chosen)
    if policy.retry_delay_seconds > _DELAY_MAX_S:
        text = (
            f"retry_delay_seconds {policy.retry_delay_seconds} wastes the deadline, "
            f"at most {_DELAY_MAX_S} is usual"
        )
        advice = "set retry_delay_seconds to 0.5"
        yield warning(Area.PERFORMANCE, "liquidation.retry_delay_seconds", text, advice)


def _settling(environment: Environment, policy: LiquidationConfig) -> Iterator[Issue]:
    in_production = environment is Environment.PRODUCTION
    field, settle_s = "liquidation.settle_seconds", policy.settle_seconds
    if settle_s == 0:
        text = (
            "settle_seconds is 0: one reading is trusted, and what appeared less than about "
            f"{_LAG_S:g} s before it can be missing from the venue's lists"
        )
        advice = f"set settle_seconds to {_LAG_S}; --settle 0 serves the single case"
        yield risk(environment, Area.CONFIGURATION, field, text, advice)
    elif settle_s < _LAG_S and in_production:
        text = f"settle_seconds is {settle_s}; the venue's lists lag by up to about {_LAG_S:g} s"
        yield info(Area.CONFIGURATION, field, text, f"set settle_seconds to {_LAG_S}")
    timeout_s = policy.timeout_seconds
    room_s = timeout_s - min(timeout_s * RESERVE_SHARE, RESERVE_MAX_S) - _WORK_S
    # Outside production a short deadline alone is nobody's mistake, and the window is what it
    # leaves. A window made longer than usual was meant to be kept.
    if settle_s > room_s and (in_production or settle_s > _LAG_S):
        text = (
            f"timeout_seconds {timeout_s} leaves about {max(room_s, 0.0):.1f} s to watch flat "
            f"after the work, less than settle_seconds {settle_s}: the proof will be that short"
        )
        advice = "raise timeout_seconds, or lower settle_seconds"
        yield warning(Area.PERFORMANCE, field, text, advice)


def _arming(settings: Settings) -> Iterator[Issue]:
    environment, arm = settings.environment, settings.arm
    if arm.hold_seconds == 0:
        text = "hold_seconds is 0: after a trip, what a bot opens again stays open"
        yield info(Area.CONFIGURATION, "arm.hold_seconds", text, "set hold_seconds to 60.0")
    if arm.countdown_seconds is not None and arm.countdown_seconds < _COUNTDOWN_MIN_S:
        text = (
            f"countdown_seconds is {arm.countdown_seconds:g}: it is renewed every "
            f"{arm.countdown_seconds / 4:g} s, and where renewals are late or lost, the venue "
            "cancels the orders of an account that has no trouble"
        )
        advice = f"set countdown_seconds to at least {_COUNTDOWN_MIN_S:g}, 120 is usual"
        yield risk(environment, Area.CONFIGURATION, "arm.countdown_seconds", text, advice)
    for number, guard in enumerate(arm.guards):
        for text, advice in _doubts(guard, settings):
            yield risk(environment, Area.CONFIGURATION, f"arm.guards[{number}]", text, advice)
    if arm.guards:
        guards, policy = arm.guards, settings.liquidation
        limit = LIMITS_BY_MARGIN[policy.margin or Margin.STANDARD].weight_1m
        costs = armed_costs(guards, policy)
        text = (
            f"`arm` with these guards reads the account every {costs.gap_s:.0f} s, "
            f"and trips up to {costs.over_s:.0f} s after the first reading over a limit: "
            f"it takes at most {ARMED_WEIGHT_SHARE * limit:.0f} of the {limit} request weight that "
            "the address has a minute"
        )
        yield info(Area.PERFORMANCE, "arm.guards", text)


def _doubts(guard: Guard, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield why a guard would trip never or always, and what to do."""
    policy, rule = settings.liquidation, guard.rule
    margin = policy.margin or Margin.STANDARD
    lowest = _LIQUIDATED_BELOW[margin]
    if rule is Rule.MIN_MARGIN_RATIO and guard.limit <= lowest:
        text = f"{guard} never trips in time: the venue itself liquidates at a ratio of {lowest:g}"
        yield text, "set limit to 1.5 or more"
    elif guard.limit == 0:
        yield f"{guard} trips as soon as it measures anything", "set limit above 0"
    elif rule is Rule.MAX_DRAWDOWN and guard.limit >= 100:  # noqa: PLR2004 - per cent
        yield f"{guard} trips when everything is lost", "set limit below 100; it is in per cent"
    elif rule is Rule.MAX_DRAWDOWN and guard.limit < 1:
        text = f"{guard} trips at less than one per cent: the limit is no fraction"
        yield text, "write 10 for ten per cent, or keep it if it was chosen on purpose"
    elif rule is Rule.MAX_ORDERS_PER_MINUTE and guard.limit >= _ORDERS_1M:
        text = f"{guard} never trips: the venue takes {_ORDERS_1M} orders a minute at most"
        yield text, f"set limit below {_ORDERS_1M}, unless this account may send more"
    out = [
        symbol
        for symbol in guard.symbols
        if not policy.covers(symbol) or product_of(symbol) not in policy.products
    ]
    if out:
        text = f"{guard} watches {', '.join(out)}, which a trip would not close: it is out of scope"
        yield text, "add it to symbols and products, or take it out of the guard"
    if rule.needs_transfers and margin is Margin.PORTFOLIO:
        text = (
            f"{guard} counts money that is moved out as a loss: in portfolio margin the venue has "
            "no list of transfers"
        )
        yield text, "stop `arm` before you move money out of the account"


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


def changes(old: Settings, new: Settings) -> list[dict[str, Any]]:
    """Return each setting that differs: key, old, new and what that does, in the table's order."""
    before, after = values_of(old), values_of(new)
    return [
        {
            "key": rule.key,
            "old": before[rule.key],
            "new": after[rule.key],
            "impact": _IMPACTS.get(rule.name, rule.help),
        }
        for rule in TABLE
        if before[rule.key] != after[rule.key]
        or (rule.kind is Kind.LIST and old.notifications != new.notifications)
    ]


def values_of(settings: Settings) -> dict[str, Any]:
    """Return every setting by dotted key as JSON would have it.

    Of notifications only the number is told: the address of a web hook is a secret.
    """
    found: dict[str, Any] = {}
    for rule in TABLE:
        section, _, name = rule.key.rpartition(".")
        value = getattr(getattr(settings, section) if section else settings, name)
        match rule.kind:
            case Kind.GUARDS:
                found[rule.key] = [str(guard) for guard in value]
            case Kind.LIST:
                found[rule.key] = f"{len(value)} set"
            case Kind.ACCOUNTS:
                found[rule.key] = {name: asdict(own) for name, own in value.items()}
            case Kind.SYMBOLS | Kind.PRODUCTS:
                found[rule.key] = list(value)
            case Kind.TEXT | Kind.OPTIONAL_TEXT:
                found[rule.key] = None if value is None else str(value)
            case _:
                found[rule.key] = value
    return found


_IMPACTS: Final = {
    "environment": "another account",
    "products": "which futures are closed, and which stay open",
    "margin": "which endpoints are read and written",
    "base_url": "the key and every order go to another host",
    "proxy": "every request takes another way",
    "stream_url": "the account's events come from another host",
    "recv_window_ms": "how late a request may arrive before the venue refuses it",
    "emergency_liquidation": "whether the switch does anything at all",
    "close_positions": "whether positions are closed in an emergency",
    "cancel_orders": "whether orders are cancelled in an emergency",
    "timeout_seconds": "when a run ends, finished or not",
    "max_retries": "how often a refused order is sent again",
    "retry_delay_seconds": "how long a refused order waits before it is sent again",
    "settle_seconds": "how long flat is watched before it is called proven, and a run takes longer",
    "symbols": "what is closed and what stays open",
    "hold_seconds": "how long `arm` holds the account flat after a trip",
    "heartbeat_file": "whose silence trips `arm`",
    "heartbeat_seconds": "how long that silence may last",
    "countdown_seconds": "whether the venue cancels orders when `arm` falls silent, and how soon",
    "guards": "which limits trip `arm`",
    "log_dir": "where the audit trail is; earlier runs stay in the old place",
    "textfile": "where Prometheus finds how the last run ended",
    "notifications": "who is notified of a run",
    "accounts": "which accounts are closed, by which key and in which scope",
}
