"""Where an account is, how runs, positions and orders end, and the exit codes that tell it."""

from enum import IntEnum, StrEnum


class Environment(StrEnum):
    """The three places liqctl works on; there is no default."""

    PRODUCTION = "production"
    TESTNET = "testnet"
    SIMULATOR = "simulator"


class Product(StrEnum):
    """Which futures: margined in dollars (USDS-M) or in the coin itself (COIN-M)."""

    USDM = "USDM"
    COINM = "COINM"


class Margin(StrEnum):
    """The kind of account: each product by its own API, or both by that of portfolio margin.

    Portfolio margin *Pro* trades by the standard APIs: here it is a standard account.
    """

    STANDARD = "STANDARD"
    PORTFOLIO = "PORTFOLIO"


class LiquidationState(StrEnum):
    """The state of a manager and of a result."""

    IDLE = "IDLE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


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
    INTERRUPTED = 130
    TERMINATED = 143


class PositionState(StrEnum):
    """How one position ended."""

    CLOSED = "CLOSED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


class OrderState(StrEnum):
    """How one order of others ended."""

    CANCELLED = "CANCELLED"
    GONE = "GONE"
    KEPT = "KEPT"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


class FailureCause(StrEnum):
    """Why nothing could be done, where the exit code depends on it."""

    NONE = "NONE"
    BLOCKED = "BLOCKED"
    CREDENTIALS = "CREDENTIALS"
    CONFIGURATION = "CONFIGURATION"
    NOT_CONFIRMED = "NOT_CONFIRMED"
    USAGE = "USAGE"
