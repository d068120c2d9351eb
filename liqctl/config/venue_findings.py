"""What `validate --online` says about the venue, the key and the account.

Pure, like `findings`: the answers are gathered by `engine.preflight`. In production a missing
answer is a WARNING, for an unasked question may be the one that fails at three in the morning.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from liqctl.config.findings import Issue, IssueType, Level
from liqctl.config.settings import Settings
from liqctl.domain.account import PositionMode
from liqctl.domain.amounts import plain
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.venue import Environment
from liqctl.planning.explain import explain_refusal
from liqctl.planning.forecast import Forecast
from liqctl.planning.readiness import Question, VenueFacts

ROUND_TRIP_MAX_S: Final = 0.1
CLOCK_MAX_S: Final = 0.5
DRILL_AGE_MAX: Final = timedelta(days=30)

NOTHING_TO_DO: Final = "nothing to do"
_JUDGED: Final = frozenset({-2022, -4118})
"""Refusals of a reducing order that a key without futures rights never gets to."""

_WEIGHT_SHARE_MAX: Final = 0.5
_NAMED_MAX: Final = 8
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The last drill on record."""

    finished_at: datetime
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFacts:
    """What a run needs of this machine; problems in words, None where there is none."""

    trail_problem: str | None = None
    lock_problem: str | None = None
    running: str | None = None
    drill: Drill | None = None


def issues_of_venue(settings: Settings, facts: VenueFacts) -> list[Issue]:
    """Return what is to be said about the venue, the key and the account."""
    unreachable = facts.refusals.get(Question.REACHABLE)
    if unreachable is not None and unreachable.kind is AnswerKind.RUN_FATAL:
        return [_key_refused(unreachable)]
    if unreachable is not None:
        return [
            _issue(
                Level.ERROR,
                IssueType.DEPLOYMENT,
                "online.reachable",
                f"the venue cannot be reached: {unreachable.describe()}",
                "check network, DNS, proxy and exchange.base_url; a liquidation from here would "
                "close nothing",
            )
        ]
    found = [*_speed(facts), *_clock(settings, facts), *_weight(facts)]
    if not facts.has_key:
        return [
            *found,
            _issue(
                _mild(settings),
                IssueType.DEPLOYMENT,
                "online.key",
                "no key: rights, account, limits and the test order were not checked",
                "set the key, then validate again",
            ),
        ]
    refused = _refused_key(facts)
    if refused is not None:
        return [*found, _key_refused(refused)]
    return [*found, *_rights(settings, facts), *_order(facts), *_account(facts)]


def issues_of_forecast(settings: Settings, forecast: Forecast) -> list[Issue]:
    """Return whether a liquidation of the account as it is would fit its deadline."""
    text = (
        f"a liquidation now: {forecast.round_trips} round trips, {forecast.requests} requests, "
        f"{forecast.weight} weight, {forecast.closes} of {forecast.order_limit} orders in 10 s; "
        f"{forecast.expected_s:.1f} s expected, {forecast.worst_s:.1f} s if one order is refused "
        f"until the last repeat; timeout_seconds is {forecast.timeout_s:g}"
    )
    if forecast.expected_s > forecast.timeout_s:
        level, advice = _mild(settings), "raise timeout_seconds, or expect exit 3 and run it twice"
    elif not forecast.fits:
        level, advice = Level.INFO, "lower max_retries or retry_delay_seconds to fit every repeat"
    else:
        level, advice = Level.INFO, NOTHING_TO_DO
    return [_issue(level, IssueType.PERFORMANCE, "online.forecast", text, advice)]


def issues_of_drills(settings: Settings, drill: Drill | None, now: datetime) -> list[Issue]:
    """Return how long ago a drill passed."""
    field, advice = "drills", f"run `liqctl drill --env {settings.environment}`"
    if drill is None:
        text, level = "no drill is on record", _mild(settings)
    elif not drill.passed:
        text, level = f"the last drill, on {drill.finished_at:%Y-%m-%d}, failed", _mild(settings)
    else:
        days = max((now - drill.finished_at).days, 0)
        text = f"the last drill passed {days} days ago, on {drill.finished_at:%Y-%m-%d}"
        level = _mild(settings) if now - drill.finished_at > DRILL_AGE_MAX else Level.INFO
    return [_issue(level, IssueType.DEPLOYMENT, field, text, advice)]


def issues_of_machine(settings: Settings, facts: LocalFacts) -> list[Issue]:
    """Return what a run would miss on this machine."""
    found = []
    if facts.trail_problem is not None:
        found.append(
            _issue(
                _mild(settings),
                IssueType.DEPLOYMENT,
                "audit.log_dir",
                f"the audit trail cannot be written: {facts.trail_problem}",
                "a run would close the account and exit 8; give the folder to this user",
            )
        )
    if facts.lock_problem is not None:
        found.append(
            _issue(
                _mild(settings),
                IssueType.DEPLOYMENT,
                "lock",
                f"nothing would keep a second run off the account: {facts.lock_problem}",
                "set XDG_STATE_HOME to a folder of this user",
            )
        )
    if facts.running is not None:
        found.append(
            _issue(
                Level.INFO,
                IssueType.DEPLOYMENT,
                "lock",
                f"a liquidation is in progress: {facts.running}",
                "liqctl status",
            )
        )
    return found


def _mild(settings: Settings) -> Level:
    return Level.WARNING if settings.environment is Environment.PRODUCTION else Level.INFO


def _issue(level: Level, kind: IssueType, field: str, message: str, recommendation: str) -> Issue:
    return Issue(
        level=level, type=kind, field=field, message=message, recommendation=recommendation
    )


def _speed(facts: VenueFacts) -> Iterator[Issue]:
    if facts.round_trip_s is None:
        return
    slow = facts.round_trip_s > ROUND_TRIP_MAX_S
    yield _issue(
        Level.WARNING if slow else Level.INFO,
        IssueType.PERFORMANCE,
        "online.latency",
        f"the median of five pings is {facts.round_trip_s * 1000:.0f} ms"
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
    yield _issue(
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
        return
    heavy = used > _WEIGHT_SHARE_MAX * limit
    yield _issue(
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
    return _issue(
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
        yield _issue(
            Level.ERROR,
            IssueType.SECURITY,
            "online.key.futures",
            "the key may not trade futures",
            "enable futures for the key; liquidate would close nothing",
        )
    yield _issue(
        Level.WARNING if rights.withdrawals else Level.INFO,
        IssueType.SECURITY,
        "online.key.withdrawals",
        "the key may withdraw money" if rights.withdrawals else "the key may not withdraw money",
        "take the right away: closing needs trading only" if rights.withdrawals else NOTHING_TO_DO,
    )
    yield _issue(
        Level.INFO if rights.ip_restricted else Level.WARNING,
        IssueType.SECURITY,
        "online.key.addresses",
        "the key is bound to listed addresses"
        if rights.ip_restricted
        else "the key works from every address, and such a key expires",
        NOTHING_TO_DO if rights.ip_restricted else "bind it to the addresses of this machine",
    )


def _order(facts: VenueFacts) -> Iterator[Issue]:
    refusal = facts.refusals.get(Question.ORDER)
    if refusal is None:
        yield _issue(
            Level.INFO,
            IssueType.DEPLOYMENT,
            "online.key.trading",
            f"the venue accepted a test of a reducing order on {facts.rehearsed}; nothing was "
            "placed",
            NOTHING_TO_DO,
        )
        return
    if refusal.code in _JUDGED:
        yield _issue(
            Level.INFO,
            IssueType.DEPLOYMENT,
            "online.key.trading",
            f"the venue judged a test order by what is open, not by the key: {refusal.describe()}",
            NOTHING_TO_DO,
        )
        return
    sure = refusal.kind in {AnswerKind.RUN_FATAL, AnswerKind.LEG_FATAL, AnswerKind.REJECTED}
    yield _issue(
        Level.ERROR if sure else Level.WARNING,
        IssueType.DEPLOYMENT,
        "online.key.trading",
        f"a test of a reducing order was not accepted: {refusal.describe()}",
        "give the key futures trading; until then liquidate closes nothing",
    )


def _account(facts: VenueFacts) -> Iterator[Issue]:
    if facts.is_portfolio_margin:
        yield _issue(
            Level.ERROR,
            IssueType.DEPLOYMENT,
            "online.account",
            "this account is in portfolio margin: its positions do not show here",
            "liqctl cannot close it; close by hand",
        )
        return
    refusal = facts.refusals.get(Question.ACCOUNT)
    if refusal is not None:
        yield _issue(
            Level.ERROR if facts.snapshot is None else Level.WARNING,
            IssueType.DEPLOYMENT,
            "online.account",
            f"the account could not be read in full: {refusal.describe()}",
            "validate again; liquidate reads what it can and never takes unread for flat",
        )
    if facts.mode is not None:
        hedge = facts.mode is PositionMode.HEDGE
        yield _issue(
            Level.INFO,
            IssueType.CONFIGURATION,
            "online.position_mode",
            "hedge mode: LONG and SHORT legs" if hedge else "one-way mode",
            NOTHING_TO_DO,
        )
    if facts.snapshot is not None:
        positions = facts.snapshot.positions.items
        notional = sum((position.notional for position in positions), start=_ZERO)
        yield _issue(
            Level.INFO,
            IssueType.DEPLOYMENT,
            "online.exposure",
            f"open now: {len(positions)} positions of {plain(notional)} notional, "
            f"{len(facts.snapshot.orders)} orders",
            "liqctl status shows them",
        )
    if facts.not_trading:
        named = ", ".join(facts.not_trading[:_NAMED_MAX])
        yield _issue(
            Level.WARNING,
            IssueType.DEPLOYMENT,
            "online.symbols",
            f"not trading now, with something open: {named}",
            "liqctl cannot close these until the venue trades them again; mind their margin",
        )


def _unasked(settings: Settings, facts: VenueFacts, question: Question, what: str) -> Issue:
    answer = facts.refusals.get(question)
    why = f": {answer.describe()}" if answer is not None else ""
    return _issue(
        _mild(settings),
        IssueType.DEPLOYMENT,
        f"online.{question.value.replace(' ', '_')}",
        f"not checked: {what}{why}",
        "check it by hand on Binance's page of API keys",
    )
