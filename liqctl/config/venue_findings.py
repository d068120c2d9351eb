"""What `validate --online` says about the venue, the key and the account.

Pure, like `findings`: the answers are gathered by `engine.preflight`. In production a missing
answer is a WARNING, for an unasked question may be the one that fails at three in the morning.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from liqctl.config.findings import Issue, IssueType, Level
from liqctl.domain.account import PositionMode
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.venue import Environment
from liqctl.planning.explain import explain_refusal
from liqctl.planning.forecast import Forecast
from liqctl.planning.readiness import Question, VenueFacts
from liqctl.settings.values import Settings

ROUND_TRIP_MAX_S: Final = 0.1
CLOCK_MAX_S: Final = 0.5

NOTHING_TO_DO: Final = "nothing to do"
_JUDGED: Final = frozenset({-2022, -4118})
"""Refusals of a reducing order that a key without futures rights never gets to."""

_WEIGHT_SHARE_MAX: Final = 0.5
_NAMED_MAX: Final = 8
_BANNED: Final = 418
_ZERO: Final = Decimal(0)


def issues_of_venue(settings: Settings, facts: VenueFacts) -> list[Issue]:
    """Return what is to be said about the venue, the key and the account."""
    unreachable = facts.refusals.get(Question.REACHABLE)
    if unreachable is not None:
        return [_unreachable(unreachable)]
    found = [_reached(facts), *_speed(facts), *_clock(settings, facts), *_weight(facts)]
    if Question.SYMBOLS in facts.refusals:
        what = "whether every symbol trades"
        found.append(_unasked(settings, facts, Question.SYMBOLS, what))
    if not facts.has_key:
        return [
            *found,
            make_issue(
                mild(settings),
                IssueType.DEPLOYMENT,
                "online.key",
                "no key: rights, account, limits and the test order were not checked",
                "set the key, then validate again",
            ),
        ]
    refused = _refused_key(facts)
    if refused is not None:
        return [*found, _key_refused(refused)]
    return [
        *found,
        *_rights(settings, facts),
        *_order(settings, facts),
        *_account(settings, facts),
        *_limits(settings, facts),
    ]


def issues_of_forecast(settings: Settings, forecast: Forecast) -> list[Issue]:
    """Return whether a liquidation of the account as it is would fit its deadline."""
    text = (
        f"a liquidation now: {_count(forecast.round_trips, 'round trip')}, "
        f"{_count(forecast.requests, 'request')}, "
        f"{forecast.weight} weight, {forecast.closes} of {forecast.order_limit} orders in 10 s; "
        f"{forecast.expected_s:.1f} s expected, {forecast.worst_s:.1f} s if one order is refused "
        f"until the last repeat; timeout_seconds is {forecast.timeout_s:g}"
    )
    if forecast.expected_s > forecast.timeout_s:
        level, advice = mild(settings), "raise timeout_seconds, or expect exit 3 and run it twice"
    elif not forecast.fits:
        level, advice = Level.INFO, "lower max_retries or retry_delay_seconds to fit every repeat"
    else:
        level, advice = Level.INFO, NOTHING_TO_DO
    return [make_issue(level, IssueType.PERFORMANCE, "online.forecast", text, advice)]


def mild(settings: Settings) -> Level:
    """Return how bad a risk is: a WARNING in production, elsewhere to be known only."""
    return Level.WARNING if settings.environment is Environment.PRODUCTION else Level.INFO


def make_issue(
    level: Level, kind: IssueType, field: str, message: str, recommendation: str
) -> Issue:
    """Return an issue; the order is that of its reading."""
    return Issue(
        level=level, type=kind, field=field, message=message, recommendation=recommendation
    )


def _unreachable(answer: VenueAnswer) -> Issue:
    """Return why nothing gets through: a ban, a firewall and a full limit are no broken network."""
    if answer.kind is AnswerKind.RUN_FATAL:
        return _key_refused(answer)
    text = f"the venue cannot be reached: {answer.describe()}"
    advice = (
        "check network, DNS, proxy and exchange.base_url; a liquidation from here would close "
        "nothing"
    )
    if answer.status == _BANNED:
        until = "the time it names"
        if answer.banned_until_ms is not None:
            moment = datetime.fromtimestamp(answer.banned_until_ms / 1000, tz=UTC)
            until = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
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
    return make_issue(Level.ERROR, IssueType.DEPLOYMENT, "online.reachable", text, advice)


def _reached(facts: VenueFacts) -> Issue:
    return make_issue(
        Level.INFO,
        IssueType.DEPLOYMENT,
        "online.reachable",
        f"the venue was asked {facts.requests} times in {facts.asked_s:.1f} s",
        NOTHING_TO_DO,
    )


def _speed(facts: VenueFacts) -> Iterator[Issue]:
    if facts.round_trip_s is None:
        return
    slow = facts.round_trip_s > ROUND_TRIP_MAX_S
    yield make_issue(
        Level.WARNING if slow else Level.INFO,
        IssueType.PERFORMANCE,
        "online.latency",
        f"the median of {facts.pings} pings is {facts.round_trip_s * 1000:.0f} ms"
        + (f", more than {ROUND_TRIP_MAX_S * 1000:.0f} ms" if slow else ""),
        "run liqctl nearer to the venue" if slow else NOTHING_TO_DO,
    )


def _clock(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    if facts.clock_ahead_s is None:
        yield _unasked(settings, facts, Question.CLOCK, "the clock was not compared")
        return
    off_s = abs(facts.clock_ahead_s)
    way = "ahead of" if facts.clock_ahead_s > 0 else "behind"
    window_s = settings.exchange.recv_window_ms / 1000
    level = Level.INFO
    advice = NOTHING_TO_DO
    if off_s > CLOCK_MAX_S:
        level = Level.ERROR if off_s > window_s else Level.WARNING
        advice = "let the machine's time be kept by NTP; liqctl corrects itself, at a round trip"
    yield make_issue(
        level,
        IssueType.DEPLOYMENT,
        "online.clock",
        f"this machine's clock is {off_s * 1000:.0f} ms {way} the venue's"
        + (
            f", beyond recv_window_ms {settings.exchange.recv_window_ms}"
            if off_s > window_s
            else ""
        ),
        advice,
    )


def _weight(facts: VenueFacts) -> Iterator[Issue]:
    used, limit = facts.weight_used_by_others, facts.limits.weight_1m
    if used < 0:
        yield make_issue(
            Level.INFO,
            IssueType.PERFORMANCE,
            "online.weight",
            "not checked: the venue did not say how much request weight is in use",
            "a gateway may strip the header X-MBX-USED-WEIGHT-1M; liqctl then counts its own only",
        )
        return
    heavy = used > _WEIGHT_SHARE_MAX * limit
    yield make_issue(
        Level.WARNING if heavy else Level.INFO,
        IssueType.PERFORMANCE,
        "online.weight",
        f"other programs at this address used {used} of {limit} request weight this minute; "
        f"{max(limit - used, 0)} left",
        "slow them down: a liquidation needs about 200" if heavy else NOTHING_TO_DO,
    )


def _refused_key(facts: VenueFacts) -> VenueAnswer | None:
    """Return the refusal if nothing that needs the key was answered, and one says why."""
    if facts.snapshot is not None or facts.mode is not None:
        return None
    refusals = [a for a in facts.refusals.values() if a.kind is AnswerKind.RUN_FATAL]
    return refusals[0] if refusals else None


def _key_refused(refusal: VenueAnswer) -> Issue:
    return make_issue(
        Level.ERROR,
        IssueType.SECURITY,
        "online.key",
        explain_refusal(refusal),
        "make a key with futures trading for this address; liquidate would exit 7",
    )


def _rights(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    rights = facts.rights
    if rights is None:
        yield _unasked(
            settings,
            facts,
            Question.RIGHTS,
            "withdrawals and the list of addresses could not be asked for",
        )
        return
    if not rights.futures:
        yield make_issue(
            Level.ERROR,
            IssueType.SECURITY,
            "online.key.futures",
            "the key may not trade futures",
            "enable futures for the key; liquidate would close nothing",
        )
    yield from _withdrawals(settings, rights.withdrawals)
    yield from _addresses(settings, rights.ip_restricted)


def _withdrawals(settings: Settings, allowed: bool | None) -> Iterator[Issue]:  # noqa: FBT001 - the venue's answer
    field = "online.key.withdrawals"
    if allowed is None:
        what = "the venue did not tell whether the key may withdraw money"
        yield _untold(settings, field, what)
        return
    yield make_issue(
        Level.WARNING if allowed else Level.INFO,
        IssueType.SECURITY,
        field,
        "the key may withdraw money" if allowed else "the key may not withdraw money",
        "take the right away: closing needs trading only" if allowed else NOTHING_TO_DO,
    )


def _addresses(settings: Settings, bound: bool | None) -> Iterator[Issue]:  # noqa: FBT001 - the venue's answer
    field = "online.key.addresses"
    if bound is None:
        what = "the venue did not tell whether the key is bound to addresses"
        yield _untold(settings, field, what)
        return
    yield make_issue(
        Level.INFO if bound else Level.WARNING,
        IssueType.SECURITY,
        field,
        "the key is bound to listed addresses"
        if bound
        else "the key works from every address, and such a key expires",
        NOTHING_TO_DO if bound else "bind it to the addresses of this machine",
    )


def _order(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    refusal = facts.refusals.get(Question.ORDER)
    field, level, advice = "online.key.trading", Level.INFO, NOTHING_TO_DO
    if refusal is None:
        text = (
            f"the venue accepted a test of a reducing order on {facts.rehearsed}; nothing was "
            "placed"
        )
    elif refusal.code in _JUDGED:
        text = (
            "the venue judged a test order by what is open, not by the key: " + refusal.describe()
        )
    elif refusal.kind is AnswerKind.RUN_FATAL:
        level = Level.ERROR
        text = f"the key may not place orders: {refusal.describe()}"
        advice = "give the key futures trading from this address; liquidate would close nothing"
    elif refusal.kind in {AnswerKind.LEG_FATAL, AnswerKind.REJECTED} and refusal.code is not None:
        level = Level.ERROR
        text = f"a test of a reducing order was refused: {refusal.describe()}"
        advice = "a close may be refused like this; liquidate tries other ways, then says so"
    else:
        level = mild(settings)
        text = f"not checked: whether the key may place orders: {refusal.describe()}"
        advice = "validate again; where the venue has no test orders, try with a small position"
    yield make_issue(level, IssueType.DEPLOYMENT, field, text, advice)


def _account(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    if facts.is_portfolio_margin:
        yield make_issue(
            Level.ERROR,
            IssueType.DEPLOYMENT,
            "online.account",
            "this account is in portfolio margin: its positions do not show here",
            "liqctl cannot close it; close by hand",
        )
        return
    if facts.is_portfolio_margin is None:
        what = "whether this account is in portfolio margin, where liqctl sees nothing"
        yield _unasked(settings, facts, Question.MARGIN, what)
    refusal = facts.refusals.get(Question.ACCOUNT)
    if refusal is not None:
        yield make_issue(
            Level.ERROR if facts.snapshot is None else Level.WARNING,
            IssueType.DEPLOYMENT,
            "online.account",
            f"the account could not be read in full: {refusal.describe()}",
            "validate again; liquidate reads what it can and never takes unread for flat",
        )
    if facts.mode is None:
        yield _unasked(settings, facts, Question.MODE, "the position mode")
    else:
        hedge = facts.mode is PositionMode.HEDGE
        yield make_issue(
            Level.INFO,
            IssueType.CONFIGURATION,
            "online.position_mode",
            "hedge mode: LONG and SHORT legs" if hedge else "one-way mode",
            NOTHING_TO_DO,
        )
    yield from _exposure(facts)


def _exposure(facts: VenueFacts) -> Iterator[Issue]:
    if facts.snapshot is not None:
        positions = facts.snapshot.positions.items
        notional = sum((position.notional for position in positions), start=_ZERO)
        least = "at least " if facts.snapshot.errors else ""
        yield make_issue(
            Level.INFO,
            IssueType.DEPLOYMENT,
            "online.exposure",
            f"open now: {least}{_count(len(positions), 'position')} of {notional:,.2f} notional, "
            f"{_count(len(facts.snapshot.orders), 'order')}",
            "liqctl status shows them",
        )
    if facts.not_trading:
        named = ", ".join(facts.not_trading[:_NAMED_MAX])
        more = len(facts.not_trading) - _NAMED_MAX
        yield make_issue(
            Level.WARNING,
            IssueType.DEPLOYMENT,
            "online.symbols",
            f"not trading now, with something open: {named}"
            + (f" and {more} more" if more > 0 else ""),
            "liqctl cannot close these until the venue trades them again; mind their margin",
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _limits(settings: Settings, facts: VenueFacts) -> Iterator[Issue]:
    if Question.LIMITS in facts.refusals:
        what = "the account's limits; the forecast takes the usual ones"
        yield _unasked(settings, facts, Question.LIMITS, what)


def _untold(settings: Settings, field: str, what: str) -> Issue:
    return make_issue(
        mild(settings),
        IssueType.SECURITY,
        field,
        f"not checked: {what}",
        "check it by hand on Binance's page of API keys",
    )


def _unasked(settings: Settings, facts: VenueFacts, question: Question, what: str) -> Issue:
    answer = facts.refusals.get(question)
    why = f": {answer.describe()}" if answer is not None else ""
    return make_issue(
        mild(settings),
        IssueType.DEPLOYMENT,
        f"online.{question.value.replace(' ', '_')}",
        f"not checked: {what}{why}",
        "check it by hand on Binance's page of API keys"
        if question is Question.RIGHTS
        else "validate again",
    )
