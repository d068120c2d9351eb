"""What `validate --online` finds: the venue's answers, and what a run needs of this machine.

The answers are gathered by `preflight`. In production a missing answer is a WARNING, for an unasked
question may be the one that fails at three in the morning.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from liqctl.checks import (
    NOTHING_TO_DO,
    Area,
    Issue,
    Level,
    error,
    info,
    mild,
    of_account,
    risk,
    warning,
)
from liqctl.checks.of_machine import issue_of_drills, issues_of_run
from liqctl.checks.of_settings import is_configured
from liqctl.checks.preflight import Coverage, Question, VenueFacts
from liqctl.desk.text import count, listed
from liqctl.drill import DRILLS_NAME, last_drill
from liqctl.kernel.answers import BANNED, AnswerKind, VenueAnswer
from liqctl.kernel.costs import make_forecast
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.kernel.values import PositionMode, exposure_of
from liqctl.kernel.witness import mask_email, mask_emails
from liqctl.kernel.words import explain_refusal
from liqctl.run import SystemClock
from liqctl.settings.values import Settings

NOT_CHECKED: Final = "not checked"
_ROUND_TRIP_MAX_S: Final = 0.1
_CLOCK_MAX_S: Final = 0.5
_JUDGED: Final = frozenset({-2022, -4118})
"""Refusals of a reducing order that a key without futures rights never gets to."""

_WEIGHT_SHARE_MAX: Final = 0.5
_NAMED_MAX: Final = 8
_LEVELS: Final = tuple(Level)
_BY_HAND: Final = "check it by hand on Binance's page of API keys"


_MEASURED: Final = frozenset({"online.latency", "online.clock", "online.weight"})
"""What is one for the address, and measured worse by who asks while all others do."""

_OF_ALL: Final = _MEASURED | {"online.reachable", "audit.log_dir", "drills"}
"""What is the same for every account: said once, as the best of them found it."""

_OF_ALL_ALIKE: Final = frozenset({"lock", "online.symbols"})
"""What is said once where it is the same for all."""


def issues_of_accounts_online(found: Mapping[str | None, Sequence[Issue]]) -> Iterator[Issue]:
    """Yield what was found of each account, with its name; what they share is said once."""
    levels: dict[str, int] = {}
    for issues in found.values():
        for issue in issues:
            badness = _LEVELS.index(issue.level)
            levels[issue.field] = min(badness, levels.get(issue.field, badness))
    told = set()
    for name, issues in found.items():
        for issue in issues:
            is_shared = issue.field in _OF_ALL and _LEVELS.index(issue.level) == levels[issue.field]
            is_alike = issue.field in _OF_ALL_ALIKE and all(
                issue in each for each in found.values()
            )
            if not (is_shared or is_alike):
                if issue.field not in _MEASURED:
                    yield of_account(name, issue)
                continue
            key = issue.field if is_shared else issue
            if key not in told:
                told.add(key)
                yield issue


def issues_of_sub_accounts(environment: Environment, coverage: Coverage) -> Iterator[Issue]:
    """Yield which sub-accounts of the master key a liquidation would leave alone."""
    field, area = "online.sub_accounts", Area.DEPLOYMENT
    if coverage.problem is not None:
        text = f"{NOT_CHECKED}: whether every sub-account has a name here: {coverage.problem}"
        yield risk(environment, area, field, text, "check the master key, then validate again")
    if coverage.uncovered:
        named = []
        for sub, positions in coverage.uncovered:
            told = [f'"{mask_emails(sub.remark)}"'] if sub.remark else []
            told += ["frozen"] if sub.is_frozen else []
            told.append("positions not read" if positions is None else count(positions, "position"))
            named.append(f"{mask_email(sub.email)} ({', '.join(told)})")
        is_one = len(coverage.uncovered) == 1
        text = (
            f"{len(coverage.uncovered)} of {count(coverage.listed, 'sub-account')} of the master "
            f"key {'has' if is_one else 'have'} no account here, so nothing closes "
            f"{'it' if is_one else 'them'}: {listed(named, _NAMED_MAX)}"
        )
        advice = "name each under `accounts` and set its key, or watch it by hand"
        yield warning(area, field, text, advice)
    elif coverage.problem is None:
        text = f"all {count(coverage.listed, 'sub-account')} of the master key have an account here"
        yield info(area, field, text)


def issues_online(
    settings: Settings, facts: VenueFacts, identity: str, key_problem: str | None
) -> Iterator[Issue]:
    """Yield everything that can be known before the emergency.

    `identity` is the account as the lock names it, `key_problem` why the key cannot sign.
    """
    yield from issues_of_venue(settings, facts)
    for product, problem in facts.streams.items():  # Only who runs `arm` needs them.
        if problem is None:
            text = f"the user data stream of {product.shown} was connected; `arm` listens to it"
            yield info(Area.DEPLOYMENT, "online.stream", text)
            continue
        text = f"the user data stream of {product.shown} could not be connected: {problem}"
        advice = "`arm` would be degraded: it sees changes by reading alone, about every 10 s"
        level = mild(settings.environment) if is_configured(settings) else Level.INFO
        yield Issue(level, Area.DEPLOYMENT, "online.stream", text, advice)
    if facts.snapshot is not None and facts.round_trip_s is not None:
        policy, round_trip_s = settings.liquidation, facts.round_trip_s
        forecast = make_forecast(
            facts.snapshot, policy, round_trip_s=round_trip_s, limits=facts.limits
        )
        text = (
            f"a liquidation now: {count(forecast.round_trips, 'round trip')}, "
            f"{count(forecast.requests, 'request')}, "
            f"{forecast.weight} weight, {forecast.closes} of {forecast.order_limit} orders in "
            f"10 s; {forecast.expected_s:.1f} s expected, {forecast.worst_s:.1f} s if one order is "
            f"refused until the last repeat; timeout_seconds is {forecast.timeout_s:g}"
        )
        level, advice = Level.INFO, NOTHING_TO_DO
        if forecast.expected_s > forecast.timeout_s:
            level = mild(settings.environment)
            advice = "raise timeout_seconds, or expect exit 3 and run it twice"
        elif not forecast.fits:
            advice = "lower max_retries or retry_delay_seconds to fit every repeat"
        yield Issue(level, Area.PERFORMANCE, "online.forecast", text, advice)
    yield from issues_of_run(settings, identity, key_problem)
    drill = last_drill(settings.audit.log_dir / DRILLS_NAME, settings.environment.value)
    yield issue_of_drills(settings, drill, SystemClock().now())


def issues_of_venue(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    """Yield what the venue's answers tell of the way to it, the key and the account."""
    environment = settings.environment
    unreachable = facts.refusals.get(Question.REACHABLE)
    if unreachable is not None:
        yield _unreachable(unreachable)
        return
    text = f"the venue was asked {facts.requests} times in {facts.asked_s:.1f} s"
    yield info(Area.DEPLOYMENT, "online.reachable", text)
    if facts.round_trip_s is not None:
        text = f"the median of {facts.pings} pings is {facts.round_trip_s * 1000:.0f} ms"
        if facts.round_trip_s > _ROUND_TRIP_MAX_S:
            text += f", more than {_ROUND_TRIP_MAX_S * 1000:.0f} ms"
            advice = "run liqctl nearer to the venue"
            yield warning(Area.PERFORMANCE, "online.latency", text, advice)
        else:
            yield info(Area.PERFORMANCE, "online.latency", text)
    yield _clock(settings, facts)
    yield _weight(facts)
    if Question.SYMBOLS in facts.refusals:
        yield _unasked(environment, facts, Question.SYMBOLS, "whether every symbol trades")
    if not facts.has_key:
        text = "no key: rights, account, limits and the test order were not checked"
        advice = "set the key, then validate again"
        yield risk(environment, Area.DEPLOYMENT, "online.key", text, advice)
        return
    if facts.snapshot is None and facts.mode is None:  # Nothing that needs the key was answered.
        for refusal in facts.refusals.values():
            if refusal.kind is AnswerKind.RUN_FATAL:
                yield _key_refused(refusal)
                return
    yield from _rights(environment, facts)
    yield _order(environment, facts)
    yield from _account(environment, facts)
    if Question.LIMITS in facts.refusals:
        what = "the account's limits; the forecast takes the usual ones"
        yield _unasked(environment, facts, Question.LIMITS, what)


def _unreachable(answer: VenueAnswer) -> Issue:
    """Return why nothing gets through: a ban, a firewall and a full limit are no broken network."""
    if answer.kind is AnswerKind.RUN_FATAL:
        return _key_refused(answer)
    text = f"the venue cannot be reached: {answer.describe()}"
    advice = (
        "check network, DNS, proxy and exchange.base_url; a liquidation from here would close "
        "nothing"
    )
    if answer.status == BANNED:
        until = answer.banned_until or "the time it names"
        text = f"this IP address is banned until {until}: {answer.describe()}"
        advice = (
            "send nothing until then, or go to another address; find the program here that asks "
            "too much. A liquidation from here would send nothing until then"
        )
    elif answer.kind is AnswerKind.PAUSE:
        text = f"the venue's firewall lets nothing through: {answer.describe()}"
        advice = "wait some minutes, or go to another address; a liquidation would close nothing"
    elif answer.is_rate_limit:
        text = f"the request limit of this IP address is used up: {answer.describe()}"
        advice = "slow other programs at this address down; they would delay a liquidation"
    return error(Area.DEPLOYMENT, "online.reachable", text, advice)


def _key_refused(refusal: VenueAnswer) -> Issue:
    advice = "make a key with futures trading for this address; liquidate would exit 7"
    return error(Area.SECURITY, "online.key", explain_refusal(refusal), advice)


def _clock(settings: Settings, facts: VenueFacts) -> Issue:
    if facts.clock_ahead_s is None:
        what = "the clock was not compared"
        return _unasked(settings.environment, facts, Question.CLOCK, what)
    off_s = abs(facts.clock_ahead_s)
    way = "ahead of" if facts.clock_ahead_s > 0 else "behind"
    text = f"this machine's clock is {off_s * 1000:.0f} ms {way} the venue's"
    window_ms = settings.exchange.recv_window_ms
    is_beyond = off_s > window_ms / 1000
    if is_beyond:
        text += f", beyond recv_window_ms {window_ms}"
    if off_s <= _CLOCK_MAX_S:
        return info(Area.DEPLOYMENT, "online.clock", text)
    advice = "let the machine's time be kept by NTP; liqctl corrects itself, at a round trip"
    level = Level.ERROR if is_beyond else Level.WARNING
    return Issue(level, Area.DEPLOYMENT, "online.clock", text, advice)


def _weight(facts: VenueFacts) -> Issue:
    field, used, limit = "online.weight", facts.weight_used_by_others, facts.limits.weight_1m
    if used < 0:
        text = f"{NOT_CHECKED}: the venue did not say how much request weight is in use"
        header = "X-MBX-USED-WEIGHT-1M"
        advice = f"a gateway may strip the header {header}; liqctl then counts its own only"
        return info(Area.PERFORMANCE, field, text, advice)
    text = (
        f"other programs at this address used {used} of {limit} request weight this minute; "
        f"{max(limit - used, 0)} left"
    )
    if used > _WEIGHT_SHARE_MAX * limit:
        advice = "slow them down: a liquidation needs about 200"
        return warning(Area.PERFORMANCE, field, text, advice)
    return info(Area.PERFORMANCE, field, text)


def _rights(environment: Environment, facts: VenueFacts) -> Iterator[Issue]:
    rights = facts.rights
    if rights is None:
        what = "withdrawals and the list of addresses could not be asked for"
        yield _unasked(environment, facts, Question.RIGHTS, what)
        return
    if not rights.futures:
        text = "the key may not trade futures"
        advice = "enable futures for the key; liquidate would close nothing"
        yield error(Area.SECURITY, "online.key.futures", text, advice)
    field = "online.key.withdrawals"
    match rights.withdrawals:
        case None:
            text = f"{NOT_CHECKED}: the venue did not tell whether the key may withdraw money"
            yield risk(environment, Area.SECURITY, field, text, _BY_HAND)
        case True:
            text = "the key may withdraw money"
            advice = "take the right away: closing needs trading only"
            yield warning(Area.SECURITY, field, text, advice)
        case False:
            yield info(Area.SECURITY, field, "the key may not withdraw money")
    field = "online.key.addresses"
    match rights.ip_restricted:
        case None:
            text = f"{NOT_CHECKED}: the venue did not tell whether the key is bound to addresses"
            yield risk(environment, Area.SECURITY, field, text, _BY_HAND)
        case True:
            yield info(Area.SECURITY, field, "the key is bound to listed addresses")
        case False:
            text = "the key works from every address, and such a key expires"
            yield warning(Area.SECURITY, field, text, "bind it to the addresses of this machine")


def _order(environment: Environment, facts: VenueFacts) -> Issue:
    refusal = facts.refusals.get(Question.ORDER)
    field = "online.key.trading"
    if facts.margin is Margin.PORTFOLIO:
        text = (
            f"{NOT_CHECKED}: whether the key may place orders: portfolio margin has no test orders"
        )
        return info(Area.DEPLOYMENT, field, text, "try with a small position")
    if refusal is None:
        where = facts.rehearsed
        text = f"the venue accepted a test of a reducing order on {where}; nothing was placed"
        return info(Area.DEPLOYMENT, field, text)
    words = refusal.describe()
    if refusal.code in _JUDGED:
        text = f"the venue judged a test order by what is open, not by the key: {words}"
        return info(Area.DEPLOYMENT, field, text)
    if refusal.kind is AnswerKind.RUN_FATAL:
        text = f"the key may not place orders: {words}"
        advice = "give the key futures trading from this address; liquidate would close nothing"
        return error(Area.DEPLOYMENT, field, text, advice)
    if refusal.kind in {AnswerKind.LEG_FATAL, AnswerKind.REJECTED} and refusal.code is not None:
        text = f"a test of a reducing order was refused: {words}"
        advice = "a close may be refused like this; liquidate tries other ways, then says so"
        return error(Area.DEPLOYMENT, field, text, advice)
    text = f"{NOT_CHECKED}: whether the key may place orders: {words}"
    advice = "validate again; where the venue has no test orders, try with a small position"
    return risk(environment, Area.DEPLOYMENT, field, text, advice)


def _account(environment: Environment, facts: VenueFacts) -> Iterator[Issue]:
    if not facts.is_kind_known:
        what = "whether this account is in portfolio margin, which has an API of its own"
        yield _unasked(environment, facts, Question.MARGIN, what)
    elif facts.margin is Margin.PORTFOLIO:
        text = "portfolio margin: read and closed by its own API"
        yield info(Area.CONFIGURATION, "online.margin", text)
    refusal = facts.refusals.get(Question.ACCOUNT)
    unread = facts.unread.items() if facts.snapshot is not None else ()
    for product, answer in unread:
        is_refused = answer.kind is AnswerKind.RUN_FATAL
        other = next(each for each in Product if each is not product).lower()
        yield Issue(
            Level.ERROR if is_refused else Level.WARNING,
            Area.DEPLOYMENT,
            "online.account",
            f"{product.shown} could not be read in full: {answer.describe()}",
            "give the key the permission: without it every run ends PARTIAL. If it is not meant to "
            f"trade {product.shown}, set exchange.products: [{other}]"
            if is_refused
            else "validate again; liquidate reads what it can and never takes unread for flat",
        )
    if facts.snapshot is None and refusal is not None:
        yield error(
            Area.DEPLOYMENT,
            "online.account",
            f"the account could not be read: {refusal.describe()}",
            "validate again; liquidate reads what it can and never takes unread for flat",
        )
    if facts.mode is None:
        yield _unasked(environment, facts, Question.MODE, "the position mode")
    else:
        is_hedge = facts.mode is PositionMode.HEDGE
        text = "hedge mode: LONG and SHORT legs" if is_hedge else "one-way mode"
        yield info(Area.CONFIGURATION, "online.position_mode", text)
    if facts.snapshot is not None:
        positions = facts.snapshot.positions.items
        least = "at least " if unread else ""
        text = (
            f"open now in {' and '.join(each.shown for each in facts.products)}: "
            f"{least}{count(len(positions), 'position')} of "
            f"{exposure_of(positions):,.2f} notional, "
        )
        orders = count(len(facts.snapshot.orders), "order")
        text += "orders not read: too many accounts at once" if facts.is_brief else orders
        yield info(Area.DEPLOYMENT, "online.exposure", text, "liqctl status shows them")
    if facts.not_trading:
        text = f"not trading now, with something open: {listed(facts.not_trading, _NAMED_MAX)}"
        advice = "liqctl cannot close these until the venue trades them again; watch their margin"
        yield warning(Area.DEPLOYMENT, "online.symbols", text, advice)


def _unasked(environment: Environment, facts: VenueFacts, question: Question, what: str) -> Issue:
    answer = facts.refusals.get(question)
    why = f": {answer.describe()}" if answer is not None else ""
    return risk(
        environment,
        Area.DEPLOYMENT,
        f"online.{question.value.replace(' ', '_')}",
        f"{NOT_CHECKED}: {what}{why}",
        _BY_HAND if question is Question.RIGHTS else "validate again",
    )
