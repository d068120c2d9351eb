"""What `validate` finds: of the settings, of this machine, of the venue.

One finding says how bad it is, whose business it is, and what to do about it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from liqctl.kernel.states import Environment

NOTHING_TO_DO: Final = "nothing to do"


class Level(StrEnum):
    """How bad; ERROR and CRITICAL make the configuration invalid."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class Area(StrEnum):
    """Whose business it is."""

    SECURITY = "SECURITY"
    PERFORMANCE = "PERFORMANCE"
    CONFIGURATION = "CONFIGURATION"
    DEPLOYMENT = "DEPLOYMENT"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding; its attributes are the names of the validation document."""

    level: Level
    type: Area
    field: str
    message: str
    recommendation: str


def of_account(name: str | None, issue: Issue) -> Issue:
    """Return the finding as that of one of several accounts, if it has a name."""
    return replace(issue, field=f"accounts.{name}.{issue.field}") if name else issue


def mild(environment: Environment) -> Level:
    """Return the level of what is a risk with real money and a detail elsewhere."""
    return Level.WARNING if environment is Environment.PRODUCTION else Level.INFO


def info(area: Area, field: str, message: str, advice: str = NOTHING_TO_DO) -> Issue:
    """Return what is only to be known."""
    return Issue(Level.INFO, area, field, message, advice)


def warning(area: Area, field: str, message: str, advice: str) -> Issue:
    """Return what is risky everywhere."""
    return Issue(Level.WARNING, area, field, message, advice)


def error(area: Area, field: str, message: str, advice: str) -> Issue:
    """Return what makes the configuration invalid."""
    return Issue(Level.ERROR, area, field, message, advice)


def risk(environment: Environment, area: Area, field: str, message: str, advice: str) -> Issue:
    """Return what is risky in production, and elsewhere only to be known."""
    return Issue(mild(environment), area, field, message, advice)
