"""What `validate` says about settings that load: risks, oddities, and what changed.

Pure: the facts about the machine are gathered in `liqctl.config.facts`. Findings never stop
`liquidate`; production is judged by the strictest measure, elsewhere most of it is INFO.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from liqctl.domain.venue import Environment
from liqctl.planning.pacing import RESERVE_MAX_S, RESERVE_SHARE
from liqctl.settings.model import TABLE, Kind
from liqctl.settings.problems import Problem
from liqctl.settings.values import Settings

_TIMEOUT_MIN_S: Final = 3.0
_TIMEOUT_USUAL_S: Final = 5.0
_RETRIES_MAX: Final = 5
_RETRIES_USUAL: Final = 3
_DELAY_MAX_S: Final = 2.0
_JITTER_MAX: Final = 1.2
_LAG_S: Final = 2.0
"""How long the venue's lists were seen to lag behind what came to be."""

_WORK_S: Final = 1.0
"""What cancelling and closing take before flat can be seen: a few round trips and one repeat of a
refused order. A guess; `validate --online` measures the round trip."""


class Level(StrEnum):
    """How bad; ERROR and CRITICAL make the configuration invalid."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class IssueType(StrEnum):
    """Whose business it is."""

    SECURITY = "SECURITY"
    PERFORMANCE = "PERFORMANCE"
    CONFIGURATION = "CONFIGURATION"
    DEPLOYMENT = "DEPLOYMENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One finding and what to do about it."""

    level: Level
    type: IssueType
    field: str
    message: str
    recommendation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true of the machine, whatever the settings say.

    `missing_keys` names the variables that nothing sets; `broken_keys` tells why a set one cannot
    be used; `open_paths` are (setting, path) that others may write, `readable_secrets` variables
    whose file others may read.
    """

    missing_keys: tuple[str, ...] = ()
    broken_keys: tuple[str, ...] = ()
    open_paths: tuple[tuple[str, str], ...] = ()
    readable_secrets: tuple[str, ...] = ()
    has_bytecode: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One setting that differs from an earlier configuration."""

    key: str
    old: Any
    new: Any
    impact: str


def issues_of_settings(settings: Settings) -> list[Issue]:
    """Return what is to be said about the settings themselves."""
    found = [*_switch(settings), *_scope(settings), *_address(settings)]
    if settings.environment is Environment.PRODUCTION:
        found += _production_numbers(settings)
    found += _backoff(settings)
    found += _settling(settings)
    return found


def issues_of_facts(environment: Environment, facts: Facts) -> list[Issue]:
    """Return what is to be said about the machine; known even where the settings are invalid."""
    mild = mild_level(environment)
    prefix = f"LIQCTL_{environment.upper()}_"
    found = [
        Issue(
            level=mild,
            type=IssueType.DEPLOYMENT,
            field=name.lower(),
            message=f"no {name.lower()} is set for {environment}",
            recommendation=f"set {prefix}{name} or {prefix}{name}_FILE",
        )
        for name in facts.missing_keys
    ]
    found += [
        Issue(
            level=Level.ERROR,
            type=IssueType.DEPLOYMENT,
            field="credentials",
            message=text,
            recommendation="correct the variable or the file; liquidate would exit 7",
        )
        for text in facts.broken_keys
    ]
    found += [
        Issue(
            level=mild,
            type=IssueType.SECURITY,
            field=key,
            message=f"others may write {path}",
            recommendation=f"chmod go-w {path}",
        )
        for key, path in facts.open_paths
    ]
    found += [
        Issue(
            level=mild,
            type=IssueType.SECURITY,
            field=variable,
            message=f"others may read the file that {variable} names",
            recommendation="chmod 600 it",
        )
        for variable in facts.readable_secrets
    ]
    if not facts.has_bytecode:
        found.append(
            Issue(
                level=mild,
                type=IssueType.PERFORMANCE,
                field="installation",
                message="Python's library, ccxt or aiohttp is not compiled to bytecode: every "
                "start takes longer, up to seconds",
                recommendation="run `python -m compileall` on the installation once; with uv: "
                "`uv tool install --compile-bytecode`",
            )
        )
    return found


def issue_of_problem(problem: Problem) -> Issue:
    """Return an invalid setting as an issue."""
    return Issue(
        level=Level.ERROR,
        type=IssueType.CONFIGURATION,
        field=problem.key,
        message=problem.text,
        recommendation=f"correct it in {problem.place}",
    )


def changes(old: Settings, new: Settings) -> list[Change]:
    """Return what differs between two configurations of one environment, in the table's order."""
    before, after = values_of(old), values_of(new)
    return [
        Change(
            key=rule.key,
            old=before[rule.key],
            new=after[rule.key],
            impact=_IMPACTS.get(rule.name, rule.help),
        )
        for rule in TABLE
        if before[rule.key] != after[rule.key]
        or (rule.kind is Kind.LIST and old.notifications != new.notifications)
    ]


def values_of(settings: Settings) -> dict[str, Any]:
    """Return every setting by dotted key as JSON would have it.

    Of notifications only the number is told: the address of a web hook is a secret.
    """
    liquidation, exchange = settings.liquidation, settings.exchange
    sections = {
        "liquidation": liquidation,
        "exchange": exchange,
        "audit": settings.audit,
        "metrics": settings.metrics,
    }
    found: dict[str, Any] = {}
    for rule in TABLE:
        section, _, name = rule.key.rpartition(".")
        value = getattr(sections[section], name) if section else getattr(settings, name)
        match rule.kind:
            case Kind.LIST:
                found[rule.key] = f"{len(value)} set"
            case Kind.SYMBOLS:
                found[rule.key] = list(value)
            case Kind.TEXT | Kind.OPTIONAL_TEXT:
                found[rule.key] = None if value is None else str(value)
            case _:
                found[rule.key] = value
    return found


def mild_level(environment: Environment) -> Level:
    """Return the level of what is a risk with real money and a detail elsewhere."""
    return Level.WARNING if environment is Environment.PRODUCTION else Level.INFO


def _issue(level: Level, key: str, message: str, recommendation: str) -> Issue:
    return Issue(
        level=level,
        type=IssueType.CONFIGURATION,
        field=key,
        message=message,
        recommendation=recommendation,
    )


def _switch(settings: Settings) -> Iterator[Issue]:
    if not settings.liquidation.emergency_liquidation:
        in_production = settings.environment is Environment.PRODUCTION
        yield _issue(
            Level.CRITICAL if in_production else Level.WARNING,
            "liquidation.emergency_liquidation",
            "the switch is disarmed: every liquidation ends SKIPPED and sends nothing",
            "set emergency_liquidation, close_positions and cancel_orders to true",
        )


def _scope(settings: Settings) -> Iterator[Issue]:
    policy = settings.liquidation
    if not policy.emergency_liquidation:
        return
    if not policy.close_positions:
        yield _issue(
            mild_level(settings.environment),
            "liquidation.close_positions",
            "positions stay open in an emergency",
            "set close_positions to true; --orders-only serves the single case",
        )
    if not policy.cancel_orders:
        yield _issue(
            Level.INFO,
            "liquidation.cancel_orders",
            "open orders stay, and may open positions again",
            "set cancel_orders to true; --positions-only serves the single case",
        )
    if policy.symbols:
        yield _issue(
            Level.INFO,
            "liquidation.symbols",
            f"only {', '.join(policy.symbols)} is in scope; everything else stays open",
            "leave symbols empty; --symbol serves the single case",
        )


def _address(settings: Settings) -> Iterator[Issue]:
    if settings.exchange.base_url is not None:
        yield Issue(
            level=mild_level(settings.environment),
            type=IssueType.SECURITY,
            field="exchange.base_url",
            message=f"requests and the key go to {settings.exchange.base_url}",
            recommendation="leave base_url null unless this host is meant to see the key",
        )


def _production_numbers(settings: Settings) -> Iterator[Issue]:
    policy = settings.liquidation
    timeout, retries = policy.timeout_seconds, policy.max_retries
    if timeout < _TIMEOUT_MIN_S:
        yield _issue(
            Level.ERROR,
            "liquidation.timeout_seconds",
            f"timeout_seconds {timeout} is too short for production, at least {_TIMEOUT_MIN_S}",
            f"set timeout_seconds to {_TIMEOUT_USUAL_S}",
        )
    elif timeout != _TIMEOUT_USUAL_S:
        yield _issue(
            Level.INFO,
            "liquidation.timeout_seconds",
            f"timeout_seconds is {timeout}, the tried value is {_TIMEOUT_USUAL_S}",
            "keep it only if it was chosen on purpose",
        )
    if retries == 0 or retries > _RETRIES_MAX:
        yield _issue(
            Level.WARNING,
            "liquidation.max_retries",
            f"max_retries {retries} is unusual for production: 1 to {_RETRIES_MAX} is usual",
            f"set max_retries to {_RETRIES_USUAL}",
        )
    elif retries != _RETRIES_USUAL:
        yield _issue(
            Level.INFO,
            "liquidation.max_retries",
            f"max_retries is {retries}, the tried value is {_RETRIES_USUAL}",
            "keep it only if it was chosen on purpose",
        )
    if policy.retry_delay_seconds > _DELAY_MAX_S:
        yield Issue(
            level=Level.WARNING,
            type=IssueType.PERFORMANCE,
            field="liquidation.retry_delay_seconds",
            message=f"retry_delay_seconds {policy.retry_delay_seconds} wastes the deadline, "
            f"at most {_DELAY_MAX_S} is usual",
            recommendation="set retry_delay_seconds to 0.5",
        )


def _backoff(settings: Settings) -> Iterator[Issue]:
    policy = settings.liquidation
    waits_s = policy.retry_delay_seconds * (2**policy.max_retries - 1) * _JITTER_MAX
    if waits_s > policy.timeout_seconds:
        yield Issue(
            level=mild_level(settings.environment),
            type=IssueType.PERFORMANCE,
            field="liquidation.retry_delay_seconds",
            message=f"{policy.max_retries} repeats may wait {waits_s:.1f} s, more than "
            f"timeout_seconds {policy.timeout_seconds}: the last ones will not happen",
            recommendation="lower max_retries or retry_delay_seconds, or raise timeout_seconds",
        )


def _settling(settings: Settings) -> Iterator[Issue]:
    """Yield what is wrong with the time that flat is watched."""
    policy = settings.liquidation
    if not policy.emergency_liquidation:
        return
    key, settle_s = "liquidation.settle_seconds", policy.settle_seconds
    if settle_s == 0:
        yield _issue(
            mild_level(settings.environment),
            key,
            "settle_seconds is 0: one reading is trusted, and what appeared less than about "
            f"{_LAG_S:g} s before it can be missing from the venue's lists",
            f"set settle_seconds to {_LAG_S}; --settle 0 serves the single case",
        )
    elif settle_s < _LAG_S and settings.environment is Environment.PRODUCTION:
        yield _issue(
            Level.INFO,
            key,
            f"settle_seconds is {settle_s}; the venue's lists lag by up to about {_LAG_S:g} s",
            f"set settle_seconds to {_LAG_S}",
        )
    timeout_s = policy.timeout_seconds
    room_s = timeout_s - min(timeout_s * RESERVE_SHARE, RESERVE_MAX_S) - _WORK_S
    # Outside production a short deadline alone is nobody's mistake, and the window is what it
    # leaves. A window made longer than usual was meant to be kept.
    is_meant = settings.environment is Environment.PRODUCTION or settle_s > _LAG_S
    if settle_s <= room_s or not is_meant:
        return
    yield Issue(
        level=Level.WARNING,
        type=IssueType.PERFORMANCE,
        field=key,
        message=f"timeout_seconds {timeout_s} leaves about {max(room_s, 0.0):.1f} s to watch flat "
        f"after the work, less than settle_seconds {settle_s}: the proof will be that short",
        recommendation="raise timeout_seconds, or lower settle_seconds",
    )


_IMPACTS: Final = {
    "environment": "another account",
    "base_url": "the key and every order go to another host",
    "proxy": "every request takes another way",
    "recv_window_ms": "how late a request may arrive before the venue refuses it",
    "emergency_liquidation": "whether the switch does anything at all",
    "close_positions": "whether positions are closed in an emergency",
    "cancel_orders": "whether orders are cancelled in an emergency",
    "timeout_seconds": "when a run ends, finished or not",
    "max_retries": "how often a refused order is sent again",
    "retry_delay_seconds": "how long a refused order waits before it is sent again",
    "settle_seconds": "how long flat is watched before it is called proven, and a run takes longer",
    "symbols": "what is closed and what stays open",
    "log_dir": "where the audit trail is; earlier runs stay in the old place",
    "textfile": "where Prometheus finds how the last run ended",
    "notifications": "who hears of a run",
}
