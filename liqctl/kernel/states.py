"""Where an account is, what runs are called, how they end, and the exit codes that tell it.

`liquidate` loads this before it reads its settings: what else is loaded until then delays the first
connection, and keeps a process waiting on a disk that hangs.
"""

import re
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Self


class Explained(StrEnum):
    """Members with what they mean and what liqctl `does` about it, as `liqctl explain` tells it."""

    meaning: str
    does: str

    def __new__(cls, value: str, meaning: str = "", does: str = "") -> Self:
        """Make one member; its value alone finds it again."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning, member.does = meaning, does
        return member


class Environment(StrEnum):
    """The three places liqctl works on; there is no default."""

    PRODUCTION = "production"
    TESTNET = "testnet"
    SIMULATOR = "simulator"


class Product(StrEnum):
    """Which futures: margined in dollars (USDS-M) or in the coin itself (COIN-M)."""

    USDM = "USDM"
    COINM = "COINM"

    @property
    def shown(self) -> str:
        """The product as people write it."""
        return "COIN-M" if self is Product.COINM else "USDS-M"

    @property
    def setting(self) -> str:
        """The product as settings and options name it."""
        return self.lower()


class Margin(StrEnum):
    """The kind of account: each product by its own API, or both by that of portfolio margin.

    Portfolio margin *Pro* trades by the standard APIs: here it is a standard account.
    """

    STANDARD = "STANDARD"
    PORTFOLIO = "PORTFOLIO"


class LiquidationState(Explained):
    """The state of a manager and of a result."""

    IDLE = "IDLE", "no run has started yet"
    IN_PROGRESS = "IN_PROGRESS", "a run is under way"
    COMPLETED = "COMPLETED", "the account is proven flat in scope, or there was nothing to do"
    PARTIAL = "PARTIAL", "some of the work is proven done, the rest is or may be open"
    FAILED = "FAILED", "nothing is proven closed or cancelled"
    SKIPPED = "SKIPPED", "emergency_liquidation is false, so nothing was sent"


class ExitCode(IntEnum):
    """The process exit codes; an unknown one must be read as failure."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    CONFIGURATION = 4
    IN_PROGRESS = 5
    NOT_CONFIRMED = 6
    CREDENTIALS = 7
    AUDIT_INCOMPLETE = 8
    LATCHED = 9
    INTERRUPTED = 130
    TERMINATED = 143


class PositionState(Explained):
    """How one position ended."""

    CLOSED = "CLOSED", "proven closed"
    PARTIAL = "PARTIAL", "part of it is closed, `remaining` is open"
    FAILED = "FAILED", "not closed; `error` says why"
    UNKNOWN = "UNKNOWN", "an answer or the last reading is missing: it may be open"
    SKIPPED = "SKIPPED", "not touched: a dry run, or positions were not to be closed"


class OrderState(Explained):
    """How one order of others ended."""

    CANCELLED = "CANCELLED", "proven cancelled by this run"
    GONE = "GONE", "no longer open, by its own fill, expiry or somebody else's cancel"
    KEPT = "KEPT", "a protective stop that stays because its position is or may be open"
    FAILED = "FAILED", "not cancelled; `error` says why"
    UNKNOWN = "UNKNOWN", "an answer or the last reading is missing: it may be open"
    SKIPPED = "SKIPPED", "not touched: a dry run, or orders were not to be cancelled"


class TripCause(Explained):
    """What made an armed process liquidate the account."""

    GUARD = "GUARD", "a guard was over its limit in as many readings as it needs"
    HEARTBEAT = "HEARTBEAT", "the heartbeat file was too old, or gone"
    SIGNAL = "SIGNAL", "a signal asked for it"
    HANDOVER = "HANDOVER", "a `liqctl liquidate` on this machine handed its run over"


class FailureCause(StrEnum):
    """Why nothing could be done, where the exit code depends on it."""

    NONE = "NONE"
    BLOCKED = "BLOCKED"
    CREDENTIALS = "CREDENTIALS"
    CONFIGURATION = "CONFIGURATION"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    USAGE = "USAGE"


CORRELATION_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What an id may be that somebody chooses; several runs may be given the same one."""

_GENERATED = re.compile(r"liq_(\d{8}_\d{6})_[0-9a-f]{6}")


def make_correlation_id(now: datetime, suffix: str) -> str:
    """Return `liq_YYYYMMDD_HHMMSS_` (UTC) and six lower-case hex digits given as `suffix`.

    >>> make_correlation_id(datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "abc123")
    'liq_20260102_103000_abc123'
    """
    return f"liq_{now.astimezone(UTC):%Y%m%d_%H%M%S}_{suffix}"


def time_of_correlation_id(correlation_id: str) -> float | None:
    """Return when an id was generated, in epoch seconds; None for one that somebody chose.

    >>> time_of_correlation_id("liq_20260102_103000_abc123")
    1767349800.0
    """
    match = _GENERATED.fullmatch(correlation_id)
    if match is None:
        return None
    try:
        # `strptime` would import a module for it, before the first orders of a trip.
        return datetime.fromisoformat(f"{match[1]}+00:00").timestamp()
    except ValueError:
        return None


def is_correlation_id(text: str) -> bool:
    """Return whether the text is 1 to 64 letters, digits, `_` or `-`."""
    return CORRELATION_ID_PATTERN.fullmatch(text) is not None
